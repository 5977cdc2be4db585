"""The command `k4calofast`: a thin door to what the subpackages do."""

from __future__ import annotations

import sys
from typing import NoReturn

from k4calofast import streams
from k4calofast.exceptions import K4CaloFastError
from k4calofast.stopping import Stopped, stopped_by_signals

_RESUMABLE = ("train", "refine", "tune")
"""Commands that go on where a signal stopped them."""


def main() -> None:
    """Run the command; whatever goes wrong is one line, and the exit code is not 0."""
    streams.prepare()
    try:
        with stopped_by_signals():
            # Loading takes long enough for a signal to arrive.
            from k4calofast.cli.commands import app

            try:
                app()
            finally:
                # What cannot be printed is known here, not when Python has ended.
                streams.flush()
    except K4CaloFastError as error:
        _fail(str(error), 1)
    except Stopped as stopped:
        again = sys.argv[1:] and sys.argv[1] in _RESUMABLE
        what = (
            "the same command again goes on from there" if again else "the output is not complete"
        )
        _fail(f"{stopped}, {what}", stopped.code)
    except OSError as error:
        # Disks, pipes and names: what the system refuses is no fault of the program.
        streams.leave_stdout()
        if isinstance(error, BrokenPipeError):
            sys.exit(1)
        where = "cannot read or write" if error.filename is None else error.filename
        _fail(f"{where}: {error.strerror or error}", 1)


def _fail(sentence: str, code: int) -> NoReturn:
    print(f"k4calofast: {sentence}", file=sys.stderr)
    sys.exit(code)
