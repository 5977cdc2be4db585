"""The command `k4run`: its signals, its exit code, and whose `k4run` it is."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from k4calofast import streams
from k4calofast.exceptions import K4CaloFastError
from k4calofast.steering import EMBEDDED, command_line, installed
from k4calofast.stopping import Stopped, stopped_by_signals

if TYPE_CHECKING:
    from k4calofast.steering.job import Command


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; the exit code is 0 if, and only if, all went well."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    streams.prepare()
    job: Command | None = None
    try:
        with stopped_by_signals():
            try:
                if arguments[:1] == [command_line.COMPLETE]:
                    from k4calofast.steering import completion

                    print("\n".join(completion.candidates(arguments[1:])))
                    return
                command_line.answers(arguments)
                if EMBEDDED in arguments:
                    arguments.remove(EMBEDDED)
                elif importlib.util.find_spec("k4FWCore") is not None:
                    _hand_over(arguments)
                if command_line.helps(arguments):
                    return
                # Loading takes long enough for a signal to arrive.
                from k4calofast.steering.job import Command

                job = Command(arguments)
                job.run()
            finally:
                # What cannot be printed is known here, not when Python has ended.
                streams.flush()
    except K4CaloFastError as error:
        sys.exit(f"k4run: {error}")
    except Stopped as stopped:
        if job is not None and job.complete:
            print(f"k4run: {stopped} when the output was complete", file=sys.stderr)
            return
        print(f"k4run: {stopped}, no output is kept", file=sys.stderr)
        sys.exit(stopped.code)
    except OSError as error:
        streams.leave_stdout()
        if isinstance(error, BrokenPipeError):
            sys.exit(1)
        where = "" if error.filename is None else f"{error.filename}: "
        sys.exit(f"k4run: {where}{error.strerror or error}")


def _hand_over(arguments: Sequence[str]) -> None:
    """Become Key4hep's own k4run, which does not know where options files are installed."""
    ours = Path(sys.argv[0]).resolve()
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        command = shutil.which("k4run", path=folder)
        if command is not None and Path(command).resolve() != ours:
            os.execv(command, [command, *map(installed.path_of, arguments)])  # noqa: S606 - that is the point
    sys.exit("k4run: k4FWCore can be imported, but its own k4run is not in the PATH")


if __name__ == "__main__":
    main()
