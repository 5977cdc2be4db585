"""A job without Key4hep: options files and a command line become an event loop that runs."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from k4calofast import streams
from k4calofast.exceptions import OutputError, SteeringError
from k4calofast.output import check
from k4calofast.progress import shown
from k4calofast.properties import Properties
from k4calofast.steering import EMBEDDED, dialect
from k4calofast.steering.configurables import (
    COMPONENTS,
    EVENTS_PER_CHUNK,
    OUTPUT_LEVELS,
    ApplicationMgrProperties,
    Configurable,
    IOSvcProperties,
    application,
    event_io,
    nearest,
    unique_id_seed,
)

if TYPE_CHECKING:
    from k4calofast.steering.loop import EventLoop

logger = logging.getLogger("k4run")

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


class Command:
    """What a command line asks for.

    Parameters
    ----------
    arguments
        The command line without the command.
    """

    def __init__(self, arguments: Sequence[str]) -> None:
        self._arguments = list(arguments)
        self._loop: EventLoop | None = None

    @property
    def complete(self) -> bool:
        """Whether there is an output, and all of it."""
        return self._loop is not None and self._loop.complete

    def run(self) -> None:
        """Do what the options files and the command line say.

        Raises
        ------
        K4CaloFastError
            If anything is wrong.
        """
        parser = dialect.install()
        _add_options(parser)
        # Once to get the files, again when their components are known.
        known, _ = parser.parse_known_args(self._arguments)
        _start_logging(known.log_level)
        if known.list:
            for name, component in sorted(COMPONENTS.items()):
                print(f"{name:24} {(component.__doc__ or '').strip()}")
            return
        wants_help = any(argument in ("-h", "--help") for argument in self._arguments)
        files = [file for file in known.files if file.suffix == ".py" or not wants_help]
        if not files and not wants_help:
            raise SteeringError("no options file is given: k4run <options.py>, or k4run --help")
        for file in files:
            dialect.run_file(file)
        _add_properties(parser)
        parser.add_argument("-h", "--help", action="help", help="show this help and exit")
        options, unknown = parser.parse_known_args(self._arguments)
        if unknown:
            raise _unknown_option(unknown)
        _apply(options)
        job = application()
        if options.num_events is not None:
            if options.num_events < -1:
                raise SteeringError(
                    f"-n {options.num_events}: give a number of events, or -1 for all"
                )
            job.EvtMax = options.num_events
        if options.log_level is None:
            _set_level(job.OutputLevel)
        logger.info(" ".join(f"--> {_name_of(algorithm)}" for algorithm in job.TopAlg))
        if not options.dry_run:
            self._execute(job, files, options.events_per_chunk)

    def _execute(
        self, job: ApplicationMgrProperties, files: list[Path], events_per_chunk: int
    ) -> None:
        io = event_io()
        _check_output(io, files)
        # Only now: a dry run needs neither uproot nor ONNX Runtime.
        from k4calofast.steering.algorithms import Job, create
        from k4calofast.steering.loop import EventLoop, named

        if events_per_chunk < 1:
            raise SteeringError("--events-per-chunk must be at least 1")
        algorithms = {}
        facts = Job(unique_id_seed())
        for component in job.TopAlg:
            name = _name_of(component)
            if name in algorithms:
                raise SteeringError(f"TopAlg holds '{name}' twice")
            with named(name):
                algorithms[name] = create(name, component.properties, facts)
        loop = self._loop = EventLoop(
            io,
            algorithms,
            job.EvtMax,
            dialect.METADATA,
            _option_lines(),
            events_per_chunk,
        )
        with shown() as report:
            loop.run(lambda done, total: report("events", done, total))
        for name, lines in loop.summary().items():
            for line in lines:
                logging.getLogger(name).info(line)
        if io.Output:
            logger.info("%s: %d events", io.Output, loop.num_events)


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", type=Path, nargs="*", help="options files, run in this order")
    parser.add_argument("-n", "--num-events", type=int, help="number of events, -1 for all")
    parser.add_argument(
        EMBEDDED, action="store_true", help="run here, even where Key4hep's own k4run is"
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


def _check_output(io: IOSvcProperties, files: list[Path]) -> None:
    """Refuse an output that could not be written, or must not be; see `k4calofast.output`."""
    if not io.Output:
        if "Output" in io.model_fields_set:
            raise SteeringError("IOSvc.Output is empty; leave it out for a job without output")
        return
    try:
        check(Path(io.Output), files)
    except OutputError as error:
        raise OutputError(f"IOSvc.Output: {error}") from error


def _option_lines() -> list[str]:
    """The job's options as k4FWCore keeps them in the output."""
    return [
        _as_text(f'{name}.{key} = "{value}"\n')
        for name, component in sorted(Configurable.all().items())
        for key, value in _values(component.properties).items()
    ]


def _as_text(line: str) -> str:
    """Make text of what may hold bytes of the command line, or no letters at all."""
    try:
        return line.encode(errors="surrogateescape").decode(errors="backslashreplace")
    except UnicodeEncodeError:
        return line.encode(errors="backslashreplace").decode()


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


class _Log(logging.StreamHandler[Any]):
    """Messages to standard output; once that takes no more, warnings to standard error.

    A job does not end because nobody listens.
    """

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Go on with standard error."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
        elif self.stream is not sys.stderr:
            streams.leave_stdout()
            # Not by `setStream`, which would write the rest to the old one.
            self.stream = sys.stderr
            self.setLevel(logging.WARNING)
            reason = error.strerror
            logger.warning(f"standard output takes no more ({reason}): only warnings from here on")
            if record.levelno >= logging.WARNING:
                self.emit(record)


def _start_logging(level: str | None) -> None:
    logging.addLevelName(_VERBOSE, "VERBOSE")
    handler = _Log(sys.stdout)
    handler.setFormatter(logging.Formatter("{name:28} {levelname:>8} {message}", style="{"))
    root = logging.getLogger()
    root.handlers = [handler]
    _set_level(OUTPUT_LEVELS[level or "INFO"])


def _set_level(level: int) -> None:
    logging.getLogger().setLevel(_PYTHON_LEVELS[level])
