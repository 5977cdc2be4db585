"""The modules that an options file imports, for as long as this process lives.

`Gaudi`, `Configurables` and `k4FWCore` belong to Key4hep; nothing of these names is installed.
The modules made here know just what an options file for this package needs.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from k4calofast.exceptions import SteeringError
from k4calofast.steering.configurables import (
    COMPONENTS,
    OUTPUT_LEVELS,
    ApplicationMgr,
    IOSvc,
    nearest,
)

METADATA: dict[str, int | float | str] = {}
"""What an options file puts into the file's metadata with ``k4FWCore.putMetadata``."""


def put_metadata(parameters: dict[str, int | float | str], **_: Any) -> None:
    """Add parameters to the metadata of the output; k4FWCore calls it ``putMetadata``."""
    for key, value in parameters.items():
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise SteeringError(
                f"metadata '{key}' is a {type(value).__name__}; int, float and str are possible"
            )
        METADATA[key] = value


class _Components(ModuleType):
    """`Configurables`: components by name, with a helpful word about those there are not."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name in COMPONENTS:
            return COMPONENTS[name]
        if name in ("IOSvc", "ApplicationMgr"):
            raise SteeringError(f"import {name} from k4FWCore, not from Configurables")
        raise SteeringError(
            f"no component '{name}' here: {nearest(name, COMPONENTS)} "
            "Everything else needs Key4hep's own k4run"
        )


def install(parser: argparse.ArgumentParser) -> None:
    """Make the modules importable; options files can add to the parser."""
    levels = OUTPUT_LEVELS
    configuration = _module("Gaudi.Configuration", {**levels, "ApplicationMgr": ApplicationMgr})
    _module("Gaudi", {"Configuration": configuration})
    # Other spellings that are found in options files.
    _module("GaudiKernel.SystemOfUnits", _units())
    _module("GaudiKernel", {})
    components = _Components("Configurables")
    sys.modules["Configurables"] = components
    parse_args = _module("k4FWCore.parseArgs", {"parser": parser})
    _module(
        "k4FWCore",
        {
            "ApplicationMgr": ApplicationMgr,
            "IOSvc": IOSvc,
            "putMetadata": put_metadata,
            "parseArgs": parse_args,
        },
    )


def _module(name: str, content: dict[str, Any]) -> ModuleType:
    module = ModuleType(name)
    module.__dict__.update(content)
    module.__all__ = [key for key in content if not key.startswith("_")]  # type: ignore[attr-defined]
    sys.modules[name] = module
    return module


def _units() -> dict[str, float]:
    """Gaudi's units: mm, ns, MeV and rad are 1."""
    degree = 0.017453292519943295
    return {
        "mm": 1.0,
        "cm": 10.0,
        "m": 1000.0,
        "ns": 1.0,
        "MeV": 1.0,
        "GeV": 1000.0,
        "rad": 1.0,
        "mrad": 1e-3,
        "degree": degree,
        "deg": degree,
        "tesla": 1e-3,
    }


def run_file(file: Path) -> dict[str, Any]:
    """Execute an options file.

    Raises
    ------
    SteeringError
        If there is no such file, or it fails; the message says in which line.
    """
    try:
        code = compile(file.read_text(encoding="utf-8"), str(file), "exec")
    except OSError as error:
        raise SteeringError(f"{file}: {error.strerror}") from error
    except (SyntaxError, UnicodeDecodeError, ValueError) as error:
        line = getattr(error, "lineno", None)
        raise SteeringError(f"{file}{f', line {line}' if line else ''}: {error}") from error
    namespace = {"__file__": str(file.resolve()), "__name__": file.stem}
    try:
        exec(code, namespace)  # noqa: S102 - options files are programs, as with Key4hep
    except SystemExit:
        raise
    except Exception as error:
        line = _line_in(file, error)
        kind = "" if isinstance(error, SteeringError) else f"{type(error).__name__}: "
        raise SteeringError(f"{file}, line {line}: {kind}{error}") from error
    return namespace


def _line_in(file: Path, error: BaseException) -> int | str:
    trace, line = error.__traceback__, None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(file):
            line = trace.tb_lineno
        trace = trace.tb_next
    return "?" if line is None else line
