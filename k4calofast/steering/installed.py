"""The options files that come with the package, and the samples that they read."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from k4calofast import output
from k4calofast.exceptions import OutputError, SteeringError

_PACKAGE = Path(__file__).resolve().parents[1]

_SAMPLE = re.compile(r'Path\(__file__\)\.parent / "(\w+)" / "([\w.]+)"')
"""How an options file names its sample: beside it, so that the two can be copied together."""


def options_files() -> dict[str, Path]:
    """Options files by name: installed beside the package's code, or beside the package."""
    for folder in (_PACKAGE / "options", _PACKAGE.parent / "options"):
        found = {file.name: file for file in sorted(folder.glob("*.py"))}
        if found:
            return found
    return {}


def find(name: str) -> Path:
    """Return the options file of this name.

    Raises
    ------
    SteeringError
        If there is none; the message lists those there are.
    """
    files = options_files()
    if name not in files:
        raise SteeringError(f"no options file '{name}' is installed; there are {', '.join(files)}")
    return files[name]


def located(file: Path) -> Path:
    """Return an options file that is there, or the installed one of that name.

    Raises
    ------
    SteeringError
        If there is neither; the message lists those that are installed.
    """
    try:
        if file.exists():
            return file
    except OSError as error:
        raise SteeringError(f"{str(file)[:200]}: {error.strerror}") from error
    files = options_files()
    if str(file) in files:
        return files[file.name]
    raise SteeringError(
        f"{file}: no such file; the installed options files are found by their names alone: "
        f"{', '.join(files)}"
    )


def path_of(argument: str) -> str:
    """Return the path of an installed options file where an argument is its name alone."""
    files = options_files()
    return str(files[argument]) if argument in files and not Path(argument).exists() else argument


def meaning(file: Path) -> str:
    """Return the first line of an options file's docstring."""
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0]


def copy(file: Path, destination: Path, replace: bool = False) -> list[Path]:
    """Copy an options file, and the sample that it reads to where the copy looks for it.

    Parameters
    ----------
    destination
        File to write, or a folder that is there.
    replace
        Whether other files of these names may be replaced; equal ones stay in any case.

    Returns
    -------
    list
        The files that were written: first the options file, unless it was there already.

    Raises
    ------
    OutputError
        If a file is there that is another, or cannot be written.
    """
    target = destination / file.name if destination.is_dir() else destination
    pairs = [(file, target)]
    for folder, name in _SAMPLE.findall(file.read_text(encoding="utf-8")):
        pairs.append((file.parent / folder / name, target.parent / folder / name))
    contents = {}
    for source, copied in pairs:
        content = source.read_bytes()
        if copied.is_file():
            if copied.read_bytes() == content:
                continue
            if not replace:
                raise OutputError(
                    f"{copied} is there already, and is another file: give another destination, "
                    "or --force to replace it"
                )
        output.check(copied, [source])
        contents[copied] = content
    for copied, content in contents.items():
        output.write(copied, content)
    return list(contents)
