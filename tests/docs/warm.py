"""Commands without the seconds that loading takes: forks of a process that has loaded all.

``python warm.py SOCKET`` serves; under one of its NAMES, as a link in the PATH, this file is the
command of that name: it hands its arguments, folder, environment and streams to the server, whose
fork calls what the installed command calls. ``sample`` is this file's own: Geant4 showers that are
at hand take the place of hours of simulation.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

NAMES = ("k4calofast", "k4run", "python", "sample")
LOADED = (
    "awkward",
    "k4calofast.cli.commands",
    "k4calofast.engine",
    "k4calofast.steering.job",
    "k4calofast.training.recipe",
    "k4calofast.validation.page",
    "lightning",
    "matplotlib.pyplot",
    "onnx",
    "onnxruntime",
    "optuna",
    "plotly.graph_objects",
    "sklearn.ensemble",
    "torch",
    "uproot",
    "zuko",
)
ADDRESS = "K4CALOFAST_WARM"
_LAYERED = 90
"""Showers of a sample in layers."""

_STREAMS = ((0, "r"), (1, "w"), (2, "w"))
_DATA = Path(__file__).resolve().parents[1] / "data"


def serve(address: str) -> None:
    """Answer one call after the other, each in a fork."""
    for module in LOADED:
        importlib.import_module(module)
    from k4calofast.validation import drawing

    # Nine tenths of a validation are its pictures, which tests/validation looks at.
    drawing.image = _blank
    server = socket.socket(socket.AF_UNIX)
    server.bind(address)
    server.listen()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print("ready", flush=True)
    while True:
        connection, _ = server.accept()
        message, streams, _, _ = socket.recv_fds(connection, 1 << 20, 3)
        if os.fork() == 0:
            server.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            call = json.loads(message)
            for number, stream in enumerate(streams):
                os.dup2(stream, number)
                os.close(stream)
            sys.stdin, sys.stdout, sys.stderr = (os.fdopen(*one) for one in _STREAMS)
            os.chdir(call["folder"])
            os.environ.clear()
            os.environ.update(call["environment"])
            connection.sendall(bytes([_run(call["arguments"])]))
            os._exit(0)
        connection.close()
        for stream in streams:
            os.close(stream)


def _blank(plt: Any, figure: Any, *_: object) -> bytes:
    """No picture."""
    plt.close(figure)
    return b""


def _run(arguments: list[str]) -> int:
    """Exit code of what a command line calls."""
    name = Path(arguments[0]).name
    sys.argv = arguments
    try:
        _call(name, arguments[1:])
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        import traceback

        traceback.print_exc()
        code = 1
    else:
        code = 0
    sys.stdout.flush()
    sys.stderr.flush()
    return code % 256


def _call(name: str, arguments: list[str]) -> None:
    import runpy

    if name == "k4calofast":
        from k4calofast.cli import main

        main()
    elif name == "k4run":
        from k4calofast.steering.k4run import main as k4run

        k4run()
    elif name == "sample":
        sample(*arguments)
    elif arguments[0] == "-c":
        exec(arguments[1], {"__name__": "__main__"})  # noqa: S102
    elif arguments[0] == "-m":
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = arguments
        runpy.run_path(arguments[0], run_name="__main__")


def sample(output: str, detector: str, seed: str, known: str = "windows") -> None:
    """Write showers that Geant4 has made before, as a sample with this seed.

    Of crystals, they are BESIII's, in windows of the barrel or in all crystals; of layers the first
    few in CLD, whatever the name.
    """
    if known == "all":
        _sample_of_all_crystals(output, detector, seed)
        return
    import h5py

    crystals = detector == "BESIII_EMC_barrel"
    given = _DATA / ("geant4_showers.h5" if crystals else "layered_showers.h5")
    with h5py.File(given) as there, h5py.File(output, "w") as made:
        hits = 0 if crystals else int(there["offsets"][_LAYERED])
        for name, column in there.items():
            of_hits = name in ("column", "energy", "layer", "row", "time")
            last = hits if of_hits else _LAYERED + (name == "offsets")
            made[name] = column[:] if crystals else column[:last]
        provenance = json.loads(there.attrs["provenance"])
        made.attrs["layout"] = there.attrs["layout"]
        made.attrs["provenance"] = json.dumps(
            provenance | {"detector": detector, "seed": int(seed)}
        )


def _sample_of_all_crystals(output: str, detector: str, seed: str) -> None:
    """Photons, electrons and positrons, which are what a sample has by default."""
    import numpy as np

    from k4calofast.showers import crystals

    showers, provenance = crystals.read(_DATA / f"{detector.lower()}.h5")
    rows = np.flatnonzero(np.isin(showers.pdg, (22, 11, -11)))
    said = provenance.model_copy(update={"seed": int(seed)})
    crystals.write(Path(output), [showers.take(rows)], said)


def ask() -> int:
    """Have the server run this command line."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(os.environ[ADDRESS])
    call = {"arguments": sys.argv, "folder": str(Path.cwd()), "environment": dict(os.environ)}
    socket.send_fds(connection, [json.dumps(call).encode()], [0, 1, 2])
    answer = connection.recv(1)
    return answer[0] if answer else 139


if __name__ == "__main__":
    if Path(sys.argv[0]).name in NAMES:
        sys.exit(ask())
    serve(sys.argv[1])
