"""A job without Key4hep: options files and a command line become an event loop that runs."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from k4calofast import streams
from k4calofast.exceptions import OutputError, SteeringError
from k4calofast.output import check
from k4calofast.progress import shown
from k4calofast.properties import Properties
from k4calofast.steering import command_line, dialect, installed
from k4calofast.steering.configurables import (
    COMPONENTS,
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
        parser = command_line.parser()
        dialect.install(parser)
        # Once to get the files, again when their components are known.
        known, _ = parser.parse_known_args(self._arguments)
        _start_logging(known.log_level)
        if known.list:
            for name, component in sorted(COMPONENTS.items()):
                print(f"{name:24} {(component.__doc__ or '').strip()}")
            return
        wants_help = any(argument in ("-h", "--help") for argument in self._arguments)
        given = [file for file in known.files if file.suffix == ".py" or not wants_help]
        if not given and not wants_help:
            raise SteeringError("no options file is given: k4run fastsim.py, or k4run --help")
        files = [installed.located(file) for file in given]
        for file, found in zip(given, files, strict=True):
            if file != found and not wants_help:
                logger.info("options file %s", found)
            dialect.run_file(found)
        _add_properties(parser)
        command_line.add_help(parser)
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


def _add_properties(parser: argparse.ArgumentParser) -> None:
    """An option for each property of each component that the options files made."""
    for name, component in Configurable.all().items():
        if name == "ApplicationMgr":
            continue
        fields = type(component.properties).model_fields
        group = parser.add_argument_group(_title(name, component), type(component).__doc__)
        for key, field in fields.items():
            value = getattr(component.properties, key)
            said = f"{field.description} (now {value!r})".replace("%", "%%")
            # Gaudi knows both orders; one is enough to read of.
            for option, text in ((f"{name}.{key}", said), (f"{key}.{name}", argparse.SUPPRESS)):
                group.add_argument(
                    f"--{option}",
                    nargs="+" if isinstance(value, list) else None,
                    metavar=_kind(field.annotation),
                    default=argparse.SUPPRESS,
                    dest=f"{name}.{key}",
                    help=text,
                )


def _title(name: str, component: Configurable) -> str:
    kind = type(component).__name__
    return f"properties of {name}" + (f" ({kind})" if kind != name else "")


def _kind(annotation: Any) -> str:
    """What a value is, or can be."""
    parts = get_args(annotation)
    if get_origin(annotation) is Literal:
        return "{" + ",".join(map(str, parts)) + "}"
    return _kind(parts[0]) if parts else getattr(annotation, "__name__", "value").upper()


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

    _ended = False

    def emit(self, record: logging.LogRecord) -> None:
        """Print a message; a bar on the terminal takes standard output's place for a while."""
        if not self._ended and sys.stdout is not None:
            self.stream = sys.stdout
        super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Go on with standard error."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
        elif not self._ended:
            self._ended = True
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
