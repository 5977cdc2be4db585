"""`k4run`: run option files, with Key4hep where it is, and without it where it is not."""

from __future__ import annotations

import argparse
import importlib.util
import logging
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from k4calofast.exceptions import K4CaloFastError, SteeringError
from k4calofast.properties import Properties
from k4calofast.steering import dialect
from k4calofast.steering.configurables import (
    COMPONENTS,
    EVENTS_PER_CHUNK,
    OUTPUT_LEVELS,
    ApplicationMgrProperties,
    Configurable,
    application,
    event_io,
    nearest,
    unique_id_seed,
)

logger = logging.getLogger("k4run")

_EMBEDDED = "--embedded"
"""Run here even if Key4hep's own k4run is there."""

_VERBOSE = 5
_PYTHON_LEVELS = {
    1: _VERBOSE,
    2: logging.DEBUG,
    3: logging.INFO,
    4: logging.WARNING,
    5: logging.ERROR,
    6: logging.CRITICAL,
    7: logging.CRITICAL,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; the exit code is 0 only if all went well."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if _EMBEDDED in arguments:
        arguments.remove(_EMBEDDED)
    elif importlib.util.find_spec("k4FWCore") is not None:
        _hand_over(arguments)
    try:
        _run(arguments)
    except K4CaloFastError as error:
        sys.exit(f"k4run: {error}")
    except KeyboardInterrupt:
        print("k4run: interrupted, no output is kept", file=sys.stderr)
        sys.exit(130)


def _hand_over(arguments: Sequence[str]) -> None:
    """Become Key4hep's own k4run."""
    ours = Path(sys.argv[0]).resolve()
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        command = shutil.which("k4run", path=folder)
        if command is not None and Path(command).resolve() != ours:
            os.execv(command, [command, *arguments])  # noqa: S606 - that is the point
    sys.exit("k4run: k4FWCore can be imported, but its own k4run is not in the PATH")


def _run(arguments: Sequence[str]) -> None:
    parser = dialect.install()
    _add_options(parser)
    # Once to get the files, again when their components are known.
    known, _ = parser.parse_known_args(arguments)
    _start_logging(known.log_level)
    if known.list:
        for name, component in sorted(COMPONENTS.items()):
            print(f"{name:24} {(component.__doc__ or '').strip()}")
        return
    wants_help = any(argument in ("-h", "--help") for argument in arguments)
    files = [file for file in known.files if file.suffix == ".py" or not wants_help]
    if not files and not wants_help:
        raise SteeringError("no options file is given: k4run <options.py>, or k4run --help")
    for file in files:
        dialect.run_file(file)
    _add_properties(parser)
    parser.add_argument("-h", "--help", action="help", help="show this help and exit")
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        raise _unknown_option(unknown)
    _apply(options)
    job = application()
    if options.num_events is not None:
        if options.num_events < -1:
            raise SteeringError(f"-n {options.num_events}: give a number of events, or -1 for all")
        job.EvtMax = options.num_events
    if options.log_level is None:
        _set_level(job.OutputLevel)
    logger.info(" ".join(f"--> {_name_of(algorithm)}" for algorithm in job.TopAlg))
    if not options.dry_run:
        _execute(job, options.events_per_chunk)


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", type=Path, nargs="*", help="options files, run in this order")
    parser.add_argument("-n", "--num-events", type=int, help="number of events, -1 for all")
    parser.add_argument(
        _EMBEDDED, action="store_true", help="run here, even where Key4hep's own k4run is"
    )
    parser.add_argument("--dry-run", action="store_true", help="read the options, do nothing")
    parser.add_argument("-l", "--list", action="store_true", help="list the components and exit")
    parser.add_argument(
        "--log-level",
        type=str.upper,
        choices=["VERBOSE", "DEBUG", "INFO", "WARNING", "ERROR"],
        help="messages from this level on",
    )
    parser.add_argument(
        "--events-per-chunk",
        type=int,
        default=EVENTS_PER_CHUNK,
        help=f"events that are in memory together (default {EVENTS_PER_CHUNK}); changes nothing "
        "in the output",
    )


def _add_properties(parser: argparse.ArgumentParser) -> None:
    """An option for each property of each component that the options files made."""
    for name, component in Configurable.all().items():
        if name == "ApplicationMgr":
            continue
        fields = type(component.properties).model_fields
        for key, field in fields.items():
            value = getattr(component.properties, key)
            parser.add_argument(
                f"--{name}.{key}",
                f"--{key}.{name}",
                nargs="+" if isinstance(value, list) else None,
                metavar=_kind(value),
                default=argparse.SUPPRESS,
                dest=f"{name}.{key}",
                help=f"{field.description} (now {value!r})".replace("%", "%%"),
            )


def _kind(value: Any) -> str:
    return _kind(value[0]) if isinstance(value, list) and value else type(value).__name__.upper()


def _unknown_option(unknown: list[str]) -> SteeringError:
    option = unknown[0].split("=")[0]
    if not option.startswith("-"):
        return SteeringError(f"what is '{option}'? Lists of values follow their option directly")
    name = option.lstrip("-")
    known = [
        f"{component.name()}.{key}"
        for component in Configurable.all().values()
        for key in type(component.properties).model_fields
        if component.name() != "ApplicationMgr"
    ]
    component, _, _ = name.partition(".")
    mine = [key for key in known if key.startswith(f"{component}.")]
    return SteeringError(f"no option --{name}; {nearest(name, mine or known)}")


def _apply(options: argparse.Namespace) -> None:
    for option, value in vars(options).items():
        name, dot, key = option.partition(".")
        if dot and name in Configurable.all():
            setattr(Configurable.all()[name], key, value)


def _name_of(component: object) -> str:
    if not isinstance(component, Configurable):
        raise SteeringError(f"TopAlg holds {component!r}, which is not a component")
    return component.name()


def _execute(job: ApplicationMgrProperties, events_per_chunk: int) -> None:
    # Only now: a dry run needs neither uproot nor ONNX Runtime.
    from k4calofast.steering.algorithms import Job, create
    from k4calofast.steering.loop import EventLoop

    if events_per_chunk < 1:
        raise SteeringError("--events-per-chunk must be at least 1")
    algorithms = {}
    facts = Job(unique_id_seed())
    for component in job.TopAlg:
        name = _name_of(component)
        if name in algorithms:
            raise SteeringError(f"TopAlg holds '{name}' twice")
        algorithms[name] = create(name, component.properties, facts)
    io = event_io()
    loop = EventLoop(
        io,
        algorithms,
        job.EvtMax,
        dialect.METADATA,
        _option_lines(),
        events_per_chunk,
    )
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
        transient=True,
    ) as bar:
        task = bar.add_task("events", total=loop.num_events)
        loop.run(lambda done, total: bar.update(task, completed=done, total=total))
    for name, lines in loop.summary().items():
        for line in lines:
            logging.getLogger(name).info(line)
    if io.Output:
        logger.info("%s: %d events", io.Output, loop.num_events)


def _option_lines() -> list[str]:
    """The job's options as k4FWCore keeps them in the output."""
    return [
        f'{name}.{key} = "{value}"\n'
        for name, component in sorted(Configurable.all().items())
        for key, value in _values(component.properties).items()
    ]


def _values(properties: Properties) -> dict[str, Any]:
    values = {}
    for key in type(properties).model_fields:
        value = getattr(properties, key)
        if isinstance(value, Configurable):
            value = value.name()
        if isinstance(value, list):
            value = [part.name() if isinstance(part, Configurable) else part for part in value]
        values[key] = value
    return values


def _start_logging(level: str | None) -> None:
    logging.addLevelName(_VERBOSE, "VERBOSE")
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("{name:28} {levelname:>8} {message}", style="{"))
    root = logging.getLogger()
    root.handlers = [handler]
    _set_level(OUTPUT_LEVELS[level or "INFO"])


def _set_level(level: int) -> None:
    logging.getLogger().setLevel(_PYTHON_LEVELS[level])


if __name__ == "__main__":
    main()
