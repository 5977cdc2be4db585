"""A generator at work: conditions and noise in, energies out, through ONNX Runtime."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from time import monotonic
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from k4calofast.arrays import Floats, Floats32, Indices, Ints
from k4calofast.detector import load
from k4calofast.documents import one_line
from k4calofast.exceptions import ModelError, SteeringError, install
from k4calofast.generator.card import CARD_FILE, ModelCard, read_card, read_checked
from k4calofast.generator.generated import Generated
from k4calofast.generator.graph import refusal
from k4calofast.generator.interfaces import INTERFACES, Tensor

logger = logging.getLogger(__name__)

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
"""Execution providers by the names that steering uses; ``auto`` takes CUDA where it is."""

GPU_BLOCK = 4096
"""Showers per inference call on a GPU, where large calls pay."""

_MOST_DRAWN = 1024
"""Numbers among which cells are looked for, to try a model with."""

_NOTHING: Mapping[str, Floats32] = MappingProxyType({})

_LOOK = 0.2
"""Seconds between two looks at the clock while a call runs."""


class Model:
    """A generator, ready to run.

    Attributes
    ----------
    folder, card, detector
        Where it is, what it is, and the calorimeter that it simulates.
    provider
        Execution provider, in ONNX Runtime's words.

    Parameters
    ----------
    folder
        Its folder; see `k4calofast.generator.search.find_model`.
    provider
        ``auto``, ``cpu``, ``cuda`` or ``tensorrt``.
    threads
        Threads that work on blocks of showers; results do not depend on it.
    timeout
        Seconds that one call may take; 0 is no limit.

    Raises
    ------
    ModelError
        If folder, card and ONNX file do not fit together, the provider is not there, or a shower
        depends on more than its own inputs.
    """

    def __init__(
        self, folder: Path, provider: str = "auto", threads: int = 1, timeout: float = 0.0
    ) -> None:
        self.folder = folder
        card = read_card(folder)
        self.detector = load(card.detector)
        self.card: ModelCard = self._fitting(card, folder / CARD_FILE)
        file = folder / self.card.file
        content = read_checked(folder, self.card)
        if reason := refusal(content):
            raise ModelError(f"{file}: cannot be run: {reason}")
        wanted = _wanted_provider(provider)
        self._interface = INTERFACES[self.card.interface](self.card.name, self.card.window)
        try:
            self._session = _session(content, wanted, self._interface.memory_reuse)
        except Exception as error:
            raise ModelError(f"{file}: cannot be run: {_said(error)}") from error
        self.provider = self._session.get_providers()[0]
        if provider != "auto" and self.provider != wanted:
            raise ModelError(f"provider '{provider}' was asked for, but {self.provider} started")
        logger.info("inference provider: asked for %s, using %s", provider, self.provider)
        on_cpu = self.provider == PROVIDERS["cpu"]
        self._block = self.card.block if on_cpu else GPU_BLOCK
        self._most = self._block * (self.card.blocks_per_call if on_cpu else 1)
        self._inputs = self._check_graph(file)
        self.threads = max(1, threads)
        self._timeout = timeout
        # Also for one thread: the thread that waits for it can be interrupted, ONNX Runtime cannot.
        self._pool = ThreadPoolExecutor(self.threads)
        if on_cpu:
            self._check_rows(file)

    def _fitting(self, card: ModelCard, file: Path) -> ModelCard:
        """The card with conditions in the order of the calorimeter's, if it is for this one."""
        names = [condition.name for condition in self.detector.conditions]
        if "momentum" not in card.conditions or not set(card.conditions) <= set(names):
            raise ModelError(
                f"{file}: kinds must have ranges for momentum, and for others of the conditions of "
                f"{self.detector.name}: {', '.join(names)}"
            )
        try:
            self.detector.check_window(card.window)
        except ValueError as error:
            raise ModelError(f"model '{card.name}': {error}") from error
        return card.ordered([name for name in names if name in card.conditions])

    @cached_property
    def columns(self) -> Indices:
        """Which of the calorimeter's conditions the model is told, in its card's order."""
        names = [condition.name for condition in self.detector.conditions]
        return np.array([names.index(name) for name in self.card.conditions])

    @property
    def after_light(self) -> bool:
        """What delays count from: when light could have come straight from the entry, or the entry.

        Windows have no times of their own: their energies come with the light. Of hits, the
        calorimeter says it.
        """
        return self.card.interface == "windows" or self.detector.delays_after_light

    def _check_graph(self, file: Path) -> list[str]:
        """Names of the inputs, after making sure that they are what the card says."""
        card = self.card
        told = {name: list(values.shape[1:]) for name, values in self.surroundings(0).items()}
        sizes = {"noise": [card.noise], "conditions": [len(card.conditions)], **told}
        if card.uniform:
            sizes["uniform"] = [card.uniform]
        expected: dict[str, Tensor]
        expected = {name: ("tensor(float)", size) for name, size in sizes.items()}
        if len(card.kinds) > 1:
            expected["pdg"] = ("tensor(int64)", [])
        expected |= self._interface.outputs
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

    def surroundings(self, count: int) -> Mapping[str, Floats32]:
        """What is known of the cells around some particles on straight lines from the centre."""
        drawn = np.random.default_rng(0).integers(0, self.detector.n_cells, _MOST_DRAWN)
        centres = self.detector.centre(drawn)
        # Not all numbers need be cells.
        rows = np.resize(np.flatnonzero(np.isfinite(centres).all(1)), count)
        return self.detector.surroundings(
            drawn[rows], centres[rows], centres[rows], self.card.window
        ).inputs

    def _check_rows(self, file: Path) -> None:
        """Make sure that a shower depends neither on its row, nor on others, nor on other calls."""
        card, count = self.card, self._block
        rng = np.random.default_rng(0)
        kinds = np.array(list(card.kinds), np.int32)[np.arange(2 * count) % len(card.kinds)]
        limits = np.array([card.limits(kind) for kind in kinds.tolist()])
        conditions = rng.uniform(limits[:, 0], limits[:, 1])
        noise = rng.standard_normal((2 * count, card.noise)).astype(np.float32)
        more = {"uniform": rng.random((2 * count, card.uniform), np.float32)}
        more |= self.surroundings(2 * count)

        def generate(rows: Indices) -> Generated:
            """Deposits of some rows, sorted by row, of those of the first call."""
            inputs = {name: values[rows] for name, values in more.items()}
            found = self.generate(
                kinds[rows].astype(np.int32), conditions[rows], noise[rows], inputs
            )
            row = rows[found.shower]
            order = np.argsort(row, kind="stable")
            return replace(found, shower=row).take(order[row[order] < count])

        alone = generate(np.arange(count))
        # With other neighbours, in other rows, and in larger calls if the card allows them.
        rows = np.arange(2 * count)[::-1]
        moved = generate(np.concatenate([rows[::2], rows[1::2]]))
        if not alone.equals(moved):
            raise ModelError(
                f"{file}: a shower changes with what else is in its call, or from call to call; "
                "a model must make a row of its output from the same row of its inputs alone"
            )

    def generate(
        self,
        pdg: Ints,
        conditions: Floats,
        noise: Floats32,
        more: Mapping[str, Floats32] = _NOTHING,
    ) -> Generated:
        """Generate N showers: what they put where in their windows.

        Parameters
        ----------
        pdg
            (N,) kinds, all of the card's.
        conditions
            (N, conditions) those of the card, in the order and units of the calorimeter's.
        noise
            (N, card.noise) standard normal numbers.
        more
            Further inputs: ``uniform``, and the `inputs` of `k4calofast.detector.Surroundings`.

        Returns
        -------
        Generated
            Shower i depends on row i of the inputs alone.

        Raises
        ------
        ModelError
            If the model fails, takes too long, or gives what cannot be showers.
        """
        inputs: dict[str, npt.NDArray[Any]] = {
            "noise": noise,
            "conditions": conditions.astype(np.float32),
            "pdg": pdg.astype(np.int64),
            **more,
        }

        def work(call: _Call) -> Generated:
            rows = call.rows
            block = {name: _padded(inputs[name][rows], self._block) for name in self._inputs}
            try:
                values = self._session.run(list(self._interface.outputs), block, call.options)
            except Exception as error:
                raise ModelError(f"model '{self.card.name}' failed: {_said(error)}") from error
            found = self._interface.showers(values, len(block["noise"]))
            return found.first(rows.stop - rows.start).moved(rows.start)

        calls = [_Call(work, rows) for rows in _parts(len(pdg), self._most)]
        futures = [self._pool.submit(call.run) for call in calls]
        try:
            parts = [self._result(*started) for started in zip(futures, calls, strict=True)]
        except BaseException:
            # Ctrl-C, too, comes here. What runs ends at its next operator.
            for future, call in zip(futures, calls, strict=True):
                future.cancel()
                call.options.terminate = True
            raise
        return Generated.concatenate([Generated.none(), *parts])

    def energies(
        self,
        pdg: Ints,
        conditions: Floats,
        noise: Floats32,
    ) -> Floats32:
        """Generate N showers as `generate`: energies (N, *window) in GeV."""
        found = self.generate(pdg, conditions, noise)
        return found.in_windows(len(pdg), self.card.window)

    def _result(self, future: Future[Generated], call: _Call) -> Generated:
        while True:
            try:
                # A signal that another thread was given is noticed when this one wakes up.
                return future.result(_LOOK)
            except TimeoutError:
                began = call.began
            if began is not None and monotonic() - began > self._timeout > 0:
                raise ModelError(
                    f"model '{self.card.name}' took more than {self._timeout:g} s for one call, "
                    "which is the InferenceTimeout"
                )


class _Call:
    """Work on some rows, which can be ended from outside."""

    def __init__(self, work: Callable[[_Call], Generated], rows: slice) -> None:
        self._work, self.rows = work, rows
        self.options = onnxruntime.RunOptions()
        # What goes wrong is raised; ONNX Runtime need not say it, too.
        self.options.log_severity_level = 4
        self.began: float | None = None

    def run(self) -> Generated:
        self.began = monotonic()
        return self._work(self)


def _session(content: bytes, provider: str, memory_reuse: bool) -> onnxruntime.InferenceSession:
    # By default, constants are folded: weights that are stored in half precision are wide then.
    options = onnxruntime.SessionOptions()
    # Threads work on blocks of their own: inside a block, the order of sums is fixed.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # And not what it takes the content for.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    options.enable_mem_reuse = memory_reuse
    providers = list(dict.fromkeys([provider, PROVIDERS["cpu"]]))
    return onnxruntime.InferenceSession(content, options, providers=providers)


def _said(error: Exception) -> str:
    """What ONNX Runtime says; it raises classes of its own, which are not documented."""
    return one_line(str(error).strip().split("\n")[0])


def _wanted_provider(name: str) -> str:
    there = onnxruntime.get_available_providers()
    if name == "auto":
        return PROVIDERS["cuda"] if PROVIDERS["cuda"] in there else PROVIDERS["cpu"]
    if name not in PROVIDERS:
        raise SteeringError(f"no provider '{name}'; there are auto, {', '.join(PROVIDERS)}")
    if PROVIDERS[name] not in there:
        raise ModelError(
            f"provider '{name}' is not in this onnxruntime ({', '.join(there)}); for NVIDIA GPUs "
            f"{install('gpu')}"
        )
    return PROVIDERS[name]


def _described(tensor: Tensor | None) -> str:
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
