"""From a shower sample to a model folder: the recipe of the generator that comes with this package.

The flow is saved in the work folder when it is trained, so that distillation can be repeated; it
is used again only with the same sample and settings.
"""

from __future__ import annotations

import hashlib
import io
import platform
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch

from k4calofast import __version__
from k4calofast.exceptions import TrainingError
from k4calofast.generator.card import ModelCard, Training, digest
from k4calofast.incidence import CONDITIONS
from k4calofast.showers import hdf5
from k4calofast.showers.hdf5 import Provenance
from k4calofast.training import distillation, export, flow
from k4calofast.training.network import Features, Velocity
from k4calofast.training.sample import Sample
from k4calofast.training.settings import Recipe
from k4calofast.training.variables import ShowerVariables

FLOW_FILE = "flow.pt"
"""The trained flow in the work folder."""

_MATCHED = 200_000
"""Showers whose spectra are matched."""

Report = Callable[[str, int, int, float], None]
"""Called with the stage, its steps done, all its steps, and the smoothed loss."""


def train(
    sample_file: Path,
    output: Path,
    work: Path,
    recipe: Recipe,
    command: str,
    report: Report = lambda *_: None,
    start: Path | None = None,
) -> ModelCard:
    """Train, distil and export a generator.

    Parameters
    ----------
    sample_file
        A shower sample; its provenance goes into the card.
    output
        Model folder to write; its last two parts are the model's name.
    work
        Folder for the trained flow.
    command
        What the user typed, for the card.
    start
        Work folder of an earlier training of a network of this size, on another sample say, to go
        on from.

    Raises
    ------
    FileFormatError, TrainingError
        If the sample cannot be read or used.
    """
    began = time.monotonic()
    showers, provenance = hdf5.read(sample_file)
    sample = Sample.of(showers, recipe.threshold)
    torch.manual_seed(recipe.seed)
    features = Features(sorted(provenance.coverage), _ranges(provenance))
    rows, columns = provenance.window
    variables = ShowerVariables(rows * columns, recipe.threshold)
    velocity = Velocity(variables.dimension, features.size, recipe.width, recipe.blocks)

    saved = work / FLOW_FILE
    identity = _identity(sample_file, recipe)
    minutes = _load(saved, identity, velocity, variables)
    if minutes is None:
        if start is not None:
            _load_network(start / FLOW_FILE, velocity)
        velocity = flow.train(
            sample,
            variables,
            features,
            velocity,
            recipe.steps,
            recipe.learning_rate,
            recipe.batch,
            recipe.seed,
            lambda step, loss: report("flow", step, recipe.steps, loss),
        )
        minutes = (time.monotonic() - began) / 60
        _save(saved, identity, velocity, variables, minutes)
    began = time.monotonic()
    student = distillation.distil(
        velocity,
        sample,
        features,
        variables,
        recipe.jumps,
        recipe.midpoints,
        recipe.distillation_steps,
        recipe.distillation_rate,
        recipe.distillation_batch,
        recipe.seed + 1,
        lambda step, loss: report("distillation", step, recipe.distillation_steps, loss),
    )
    distillation.match_spectra(
        student, sample, features, variables, recipe.jumps, _MATCHED, recipe.seed + 2
    )
    minutes += (time.monotonic() - began) / 60
    generator = export.Generator(features, variables, student, recipe.jumps, (rows, columns))
    content = export.to_onnx(generator)
    card = _card(
        output,
        content,
        provenance,
        recipe,
        variables.dimension,
        len(sample),
        command,
        minutes,
        "from an earlier flow on: " if start is not None else "",
    )
    export.write_model(output, content, card)
    return card


def _ranges(provenance: Provenance) -> dict[str, tuple[float, float]]:
    """For each condition, the range that all kinds together fill."""
    kinds = provenance.coverage.values()
    return {
        condition.name: (
            min(kind[condition.name][0] for kind in kinds),
            max(kind[condition.name][1] for kind in kinds),
        )
        for condition in CONDITIONS
    }


def _identity(sample_file: Path, recipe: Recipe) -> str:
    with sample_file.open("rb") as sample:
        sample_digest = hashlib.file_digest(sample, "sha256").hexdigest()
    return f"{sample_digest} {recipe.of_the_flow} {__version__}"


def _save(
    file: Path, identity: str, velocity: Velocity, variables: ShowerVariables, minutes: float
) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    state = {
        "identity": identity,
        "velocity": velocity.state_dict(),
        "variables": variables.state_dict(),
        "minutes": minutes,
    }
    buffer = io.BytesIO()
    torch.save(state, buffer)
    unfinished = file.with_name(file.name + ".part")
    unfinished.write_bytes(buffer.getvalue())
    unfinished.replace(file)


def _load(
    file: Path, identity: str, velocity: Velocity, variables: ShowerVariables
) -> float | None:
    """Take up a saved flow, if there is one of the same sample and settings."""
    if not file.is_file():
        return None
    state = torch.load(file, weights_only=True)
    if state["identity"] != identity:
        raise TrainingError(
            f"{file} was trained on another sample or with other settings; "
            "remove it, or choose another --work folder"
        )
    velocity.load_state_dict(state["velocity"])
    variables.load_state_dict(state["variables"])
    return float(state["minutes"])


def _load_network(file: Path, velocity: Velocity) -> None:
    """Take a network from another training."""
    try:
        velocity.load_state_dict(torch.load(file, weights_only=True)["velocity"])
    except (OSError, KeyError, RuntimeError) as error:
        raise TrainingError(
            f"{file}: no flow of this size to start from: {str(error).splitlines()[0]}"
        ) from error


def _card(
    output: Path,
    content: bytes,
    provenance: Provenance,
    recipe: Recipe,
    noise: int,
    count: int,
    command: str,
    minutes: float,
    before: str,
) -> ModelCard:
    return ModelCard(
        name="/".join(output.resolve().parts[-2:]),
        version=__version__,
        description=(
            f"Energies in {provenance.window[0]} x {provenance.window[1]} cells around the cell "
            f"that a particle enters in {provenance.detector}: a conditional flow, distilled to "
            f"{recipe.jumps} steps."
        ),
        licence="Apache-2.0",
        authors="The k4calofast developers",
        file=export.MODEL_FILE,
        sha256=digest(content),
        detector=provenance.detector,
        window=provenance.window,
        threshold=recipe.threshold,
        kinds=provenance.coverage,
        noise=noise,
        block=recipe.block,
        training=Training(
            method=(
                f"{before}flow matching, {recipe.steps} steps of {recipe.batch} showers; "
                f"trajectories distilled to {recipe.jumps} steps, "
                f"{recipe.distillation_steps} steps of {recipe.distillation_batch}; "
                "spectra of cells and of the missing energy matched"
            ),
            command=command,
            showers=count,
            sample=f"{provenance.geometry}; {provenance.sampling}; seed {provenance.seed}",
            seed=recipe.seed,
            simulation=provenance.simulation,
            physics=provenance.physics,
            physics_data=provenance.physics_data,
            software=f"k4calofast {__version__}, torch {torch.__version__}",
            machine=_machine(),
            minutes=round(minutes, 1),
        ),
        validation={},
    )


def _machine() -> str:
    model = platform.processor() or platform.machine()
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return f"{torch.get_num_threads()} threads, {model}"
