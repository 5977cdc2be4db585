"""A generator at work: conditions and noise in, energies out, through ONNX Runtime."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import onnxruntime

from k4calofast.exceptions import ModelError, SteeringError
from k4calofast.generator.card import CARD_FILE, ModelCard, read_card, read_checked
from k4calofast.generator.generated import Generated

logger = logging.getLogger(__name__)

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
"""Execution providers by the names that steering uses; ``auto`` takes CUDA where it is."""

GPU_BLOCK = 4096
"""Showers per inference call on a GPU, where large calls pay."""

_SPARSE = {
    "shower": "tensor(int64)",
    "place": "tensor(int64)",
    "energy": "tensor(float)",
    "delay": "tensor(float)",
}
"""Outputs of generators of layered showers; see `Generated`."""

Found = TypeVar("Found")

SEARCH_PATH = "K4CALOFAST_MODEL_PATH"
"""Environment variable with folders, separated by colons, to look for models in."""


def model_folders() -> list[Path]:
    """Folders that are searched for models, in this order."""
    package = Path(__file__).resolve().parents[1]
    listed = [Path(part) for part in os.environ.get(SEARCH_PATH, "").split(":") if part]
    # Installed beside the package's code; in a checkout, beside the package.
    return [*listed, package / "models", package.parent / "models"]


def find_model(name: str) -> Path:
    """Folder of a model that is given by its path, or by its name in one of the folders.

    Raises
    ------
    ModelError
        If there is none; the message lists the models there are.
    """
    if not name:
        raise ModelError("no model is given")
    candidates = [Path(name), *(folder / name for folder in model_folders())]
    for candidate in candidates:
        if (candidate / CARD_FILE).is_file():
            return candidate
    known = sorted(
        str(card.parent.relative_to(folder))
        for folder in model_folders()
        for card in folder.glob(f"*/*/{CARD_FILE}")
    )
    raise ModelError(f"no model '{name}'; there are {', '.join(dict.fromkeys(known)) or 'none'}")


class Model:
    """A generator, ready to run.

    Parameters
    ----------
    folder
        Its folder; see `find_model`.
    provider
        ``auto``, ``cpu``, ``cuda`` or ``tensorrt``.
    threads
        Threads that work on blocks of showers; results do not depend on it.

    Raises
    ------
    ModelError
        If folder, card and ONNX file do not fit together, or the provider is not there.
    """

    def __init__(self, folder: Path, provider: str = "auto", threads: int = 1) -> None:
        self.folder = folder
        self.card: ModelCard = read_card(folder)
        content = read_checked(folder, self.card)
        wanted = _wanted_provider(provider)
        options = onnxruntime.SessionOptions()
        # Threads work on blocks of their own: inside a block, the order of sums is fixed.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # To plan which arrays may lie where others were takes 20 s for the thousands of small
        # operations of layered showers, and saves nothing.
        options.enable_mem_reuse = not self.card.layered
        providers = list(dict.fromkeys([wanted, PROVIDERS["cpu"]]))
        try:
            # From memory: a model cannot name files of its own.
            self._session = onnxruntime.InferenceSession(content, options, providers=providers)
        except Exception as error:
            # onnxruntime raises its own, undocumented classes.
            reason = str(error).strip().split("\n")[0]
            raise ModelError(f"{folder / self.card.file}: cannot be run: {reason}") from error
        self.provider = self._session.get_providers()[0]
        if provider != "auto" and self.provider != wanted:
            raise ModelError(f"provider '{provider}' was asked for, but {self.provider} started")
        logger.info("inference provider: asked for %s, using %s", provider, self.provider)
        on_cpu = self.provider == PROVIDERS["cpu"]
        self._block = self.card.block if on_cpu else GPU_BLOCK
        self._most = self._block * (self.card.blocks_per_call if on_cpu else 1)
        self._inputs = self._check_interface(folder / self.card.file)
        self.threads = max(1, threads)
        self._pool = ThreadPoolExecutor(self.threads) if self.threads > 1 else None

    def _check_interface(self, file: Path) -> list[str]:
        """Names of the inputs, after making sure that they are what the card says."""
        card = self.card
        expected: dict[str, tuple[str, list[int]]] = {
            "noise": ("tensor(float)", [card.noise]),
            "conditions": ("tensor(float)", [len(card.conditions)]),
        }
        if card.layered:
            view = list(card.window[:2])
            expected |= {"t": ("tensor(float)", view), "z": ("tensor(float)", view)}
            expected |= {"uniform": ("tensor(float)", [card.uniform])}
            expected |= {name: (kind, []) for name, kind in _SPARSE.items()}
        else:
            expected["energies"] = ("tensor(float)", list(card.window))
        if len(self.card.kinds) > 1:
            expected["pdg"] = ("tensor(int64)", [])
        there = {
            tensor.name: (tensor.type, list(tensor.shape)[1:])
            for tensor in (*self._session.get_inputs(), *self._session.get_outputs())
        }
        for name in {**expected, **there}:
            if there.get(name) != expected.get(name):
                raise ModelError(
                    f"{file}: '{name}' is {_described(there.get(name))}, but its card wants "
                    f"{_described(expected.get(name))}"
                )
        return [tensor.name for tensor in self._session.get_inputs()]

    def generate(
        self,
        pdg: npt.NDArray[np.int32],
        conditions: npt.NDArray[np.float64],
        noise: npt.NDArray[np.float32],
        more: Mapping[str, npt.NDArray[np.float32]],
    ) -> Generated:
        """Generate N showers: what they put where in their windows.

        Parameters
        ----------
        pdg, conditions, noise
            As for `energies`.
        more
            Further inputs of generators of layered showers: ``uniform``, and the `inputs` of
            `k4calofast.detector.Surroundings`.
        """
        if not self.card.layered:
            return Generated.of_windows(self.energies(pdg, conditions, noise))
        inputs = self._inputs_of(pdg, conditions, noise) | dict(more)

        def generate(rows: slice) -> Generated:
            block = {name: _padded(inputs[name][rows], self._block) for name in self._inputs}
            found = Generated(*self._run(list(_SPARSE), block))
            return found.first(rows.stop - rows.start).moved(rows.start)

        return Generated.concatenate(list(self._over_calls(generate, len(pdg))))

    def energies(
        self,
        pdg: npt.NDArray[np.int32],
        conditions: npt.NDArray[np.float64],
        noise: npt.NDArray[np.float32],
    ) -> npt.NDArray[np.float32]:
        """Generate N showers.

        Parameters
        ----------
        pdg
            (N,) kinds, all of the card's.
        conditions
            (N, 6) in the order and units of the card's conditions.
        noise
            (N, card.noise) standard normal numbers.

        Returns
        -------
        array
            (N, rows, columns) GeV. Row i depends on row i of the inputs alone.
        """
        inputs = self._inputs_of(pdg, conditions, noise)
        out = np.empty((len(pdg), *self.card.window), np.float32)

        def generate(rows: slice) -> None:
            count = rows.stop - rows.start
            block = {name: _padded(inputs[name][rows], self._block) for name in self._inputs}
            (generated,) = self._run(["energies"], block)
            out[rows] = np.asarray(generated)[:count]

        list(self._over_calls(generate, len(pdg)))
        return out

    def _run(self, names: list[str], block: dict[str, npt.NDArray[Any]]) -> list[Any]:
        try:
            return list(self._session.run(names, block))
        except Exception as error:
            # onnxruntime raises its own, undocumented classes.
            reason = str(error).strip().split("\n")[0]
            raise ModelError(f"model '{self.card.name}' failed: {reason}") from error

    @staticmethod
    def _inputs_of(
        pdg: npt.NDArray[np.int32],
        conditions: npt.NDArray[np.float64],
        noise: npt.NDArray[np.float32],
    ) -> dict[str, npt.NDArray[Any]]:
        return {
            "noise": noise,
            "conditions": conditions.astype(np.float32),
            "pdg": pdg.astype(np.int64),
        }

    def _over_calls(self, work: Callable[[slice], Found], count: int) -> Iterator[Found]:
        """Yield what is done for the rows of each call, in their order."""
        return (map if self._pool is None else self._pool.map)(work, _parts(count, self._most))


def _wanted_provider(name: str) -> str:
    there = onnxruntime.get_available_providers()
    if name == "auto":
        return PROVIDERS["cuda"] if PROVIDERS["cuda"] in there else PROVIDERS["cpu"]
    if name not in PROVIDERS:
        raise SteeringError(f"no provider '{name}'; there are auto, {', '.join(PROVIDERS)}")
    if PROVIDERS[name] not in there:
        raise ModelError(
            f"provider '{name}' is not in this onnxruntime ({', '.join(there)}); for NVIDIA GPUs "
            "pip install 'k4calofast[gpu]'"
        )
    return PROVIDERS[name]


def _described(tensor: tuple[str, list[int]] | None) -> str:
    if tensor is None:
        return "absent"
    return f"{tensor[0]} of shape {['N', *tensor[1]]}"


def _parts(count: int, size: int) -> Iterator[slice]:
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def _padded(rows: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    """Repeat the last row until there are whole blocks of `size` rows."""
    missing = -len(rows) % size
    return rows if missing == 0 else np.concatenate([rows, np.repeat(rows[-1:], missing, axis=0)])
