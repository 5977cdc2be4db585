"""`k4calofast options`: the options files of `k4run` that come with the package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from k4calofast.cli.completion import options_files

app = typer.Typer(
    name="options",
    help="List, find and copy the options files of k4run that come with the package.",
    epilog="Example: k4calofast options copy fastsim.py mine.py",
)

Name = Annotated[
    str, typer.Argument(help="Name, such as fastsim.py.", autocompletion=options_files)
]


@app.callback(invoke_without_command=True)
def options(context: typer.Context) -> None:
    """List, find and copy the options files of k4run that come with the package."""
    if context.invoked_subcommand is None:
        list_them()


@app.command("list", epilog="Example: k4calofast options list")
def list_them() -> None:
    """List the options files with what each is for; `k4calofast options` alone does the same."""
    from k4calofast.steering import installed

    files = installed.options_files()
    width = max(map(len, files), default=0)
    for name, file in files.items():
        typer.echo(f"{name:{width}}  {installed.meaning(file)}")
    typer.echo("\nk4run finds them by name: k4run fastsim.py -n 10")


@app.command("path", epilog="Example, with Key4hep: k4run $(k4calofast options path fastsim.py)")
def path(name: Name) -> None:
    """Print where an options file is."""
    from k4calofast.steering import installed

    typer.echo(installed.find(name))


@app.command("copy", epilog="Example: k4calofast options copy fastsim.py mine.py")
def copy(
    name: Name,
    destination: Annotated[
        Path, typer.Argument(metavar="DEST", help="File to write, or a folder.")
    ] = Path(),
    force: Annotated[
        bool, typer.Option("--force", help="Replace files that are there and differ.")
    ] = False,
) -> None:
    """Copy an options file, to change it; the sample that it reads goes into input/ beside it."""
    from k4calofast.steering import installed

    written = installed.copy(installed.find(name), destination, force)
    for file in written:
        typer.echo(f"{file} written")
    if not written:
        typer.echo("nothing to do: all files are there already")
