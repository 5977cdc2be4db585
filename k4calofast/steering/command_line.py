"""What the command line of `k4run` can say, before any options file adds to it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from k4calofast.exceptions import SteeringError
from k4calofast.steering import EMBEDDED

EVENTS_PER_CHUNK = 500
"""Events that are in memory together."""

LEVELS = ("VERBOSE", "DEBUG", "INFO", "WARNING", "ERROR")
"""Of messages, by Gaudi's names."""

COMPLETE, SHOW_COMPLETION = "--complete", "--show-completion"

_COMPLETION = """\
# Completion of k4run, for bash and zsh.
[ -n "$ZSH_VERSION" ] && autoload -Uz bashcompinit && bashcompinit
_k4run() {
    local IFS=$'\\n'
    COMPREPLY=($(k4run --complete "${COMP_WORDS[@]:1:$COMP_CWORD}" 2>/dev/null))
}
complete -o default -o filenames -F _k4run k4run
"""
"""What a shell has to evaluate."""

_WHAT = """\
Calorimeter fast simulation for Key4hep: MCParticles in, calorimeter hits out.
Runs the job that options files describe. Try one that is installed:

  k4run fastsim.py -n 10
"""

_MORE = """\
`k4calofast options` lists the installed options files, and copies them.
With an options file, --help lists the properties that it can set, with their
meaning and values: k4run fastsim.py --help
"""


class Parser(argparse.ArgumentParser):
    """A parser whose errors are as all others of the command: one sentence, exit code 1."""

    def error(self, message: str) -> NoReturn:
        """Raise the error.

        Raises
        ------
        SteeringError
            Always.
        """
        raise SteeringError(f"{message}; k4run --help lists the options")


def parser() -> Parser:
    """Return the parser, to which options files can add; it has no --help yet."""
    made = Parser(
        prog="k4run",
        usage="k4run OPTIONS_FILE... [options]",
        description=_WHAT,
        epilog=_MORE,
        formatter_class=_Help,
        add_help=False,
        allow_abbrev=False,
    )
    # Options files add to the parser's own group.
    made._positionals.title = "options files"
    made._optionals.title = "options of the options files"
    made.add_argument(
        "files",
        metavar="OPTIONS_FILE",
        type=Path,
        nargs="*",
        help="run in this order: paths, or names of installed ones",
    )
    job = made.add_argument_group("job")
    job.add_argument(
        "-n", "--num-events", metavar="N", type=int, help="number of events, -1 for all"
    )
    job.add_argument("--dry-run", action="store_true", help="read the options, do nothing")
    job.add_argument(
        "--log-level",
        type=str.upper,
        choices=LEVELS,
        metavar="LEVEL",
        help=f"messages from this level on: {', '.join(LEVELS)}; INFO if the job says nothing",
    )
    job.add_argument(
        "--events-per-chunk",
        metavar="N",
        type=int,
        default=EVENTS_PER_CHUNK,
        help=f"events that are in memory together (default {EVENTS_PER_CHUNK}); changes nothing "
        "in the output",
    )
    job.add_argument(
        EMBEDDED, action="store_true", help="run here, even where Key4hep's own k4run is"
    )
    about = made.add_argument_group("about")
    about.add_argument("-l", "--list", action="store_true", help="list the components and exit")
    about.add_argument(
        "--version", action=_Say, says="version", help="print the version of k4calofast and exit"
    )
    about.add_argument(
        "--citation", action=_Say, says="citation", help="print how to cite k4calofast and exit"
    )
    about.add_argument(
        SHOW_COMPLETION,
        action=_Say,
        says="completion",
        help="print what makes bash and zsh complete this command's arguments, and exit: "
        f'eval "$(k4run {SHOW_COMPLETION})"',
    )
    return made


def add_help(to: argparse.ArgumentParser) -> None:
    """Add --help, which ends the command where it is met."""
    about = next(group for group in to._action_groups if group.title == "about")
    about.add_argument("-h", "--help", action="help", help="show this help and exit")


def answers(arguments: Sequence[str]) -> None:
    """Answer questions about the command itself, whoever would run the job; then, end."""
    if not {"--version", "--citation", SHOW_COMPLETION}.isdisjoint(arguments):
        parser().parse_known_args(arguments)


def helps(arguments: Sequence[str]) -> bool:
    """Print the help if it is asked for without options files, which would add to it.

    Raises
    ------
    SteeringError
        If nothing is asked for.
    """
    made = parser()
    add_help(made)
    if not arguments:
        made.print_help(sys.stderr)
        raise SteeringError("no options file is given")
    if {"-h", "--help"}.isdisjoint(arguments) or not all(one.startswith("-") for one in arguments):
        return False
    made.print_help()
    return True


class _Help(argparse.RawDescriptionHelpFormatter):
    """Help that fits on lines of 100 columns, if the terminal has so many."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32)


class _Say(argparse.Action):
    """Print something and end."""

    def __init__(self, option_strings: Sequence[str], dest: str, says: str, help: str) -> None:  # noqa: A002
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, help=help)
        self._says = says

    def __call__(self, parser: argparse.ArgumentParser, *_: Any, **__: Any) -> None:
        if self._says == "version":
            from k4calofast import __version__

            print(f"k4run (k4calofast) {__version__}")
        elif self._says == "citation":
            from k4calofast import citation

            print(citation.text())
        else:
            print(_COMPLETION, end="")
        parser.exit()
