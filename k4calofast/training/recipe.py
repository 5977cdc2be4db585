"""From a shower sample to a model folder: what is the same for every family of generators.

Everything that a training leaves besides its product is in `k4calofast.training.workfolder`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch

from k4calofast import __version__
from k4calofast.detector.crystals import CONDITIONS
from k4calofast.exceptions import TrainingError
from k4calofast.generator.card import (
    MODEL_FILE,
    ModelCard,
    Training,
    check_destination,
    digest,
)
from k4calofast.machine import processor
from k4calofast.showers import layers
from k4calofast.showers.crystals import CrystalProvenance
from k4calofast.showers.provenance import Provenance
from k4calofast.showers.reading import Hints, read_with_provenance
from k4calofast.training import export, families, joining, loop, workfolder
from k4calofast.training.configuration import Settings
from k4calofast.training.crystals.choice import Judge
from k4calofast.training.crystals.sample import Sample
from k4calofast.training.family import Family, Shape
from k4calofast.training.layers import origin
from k4calofast.training.layers.sample import LayeredSample
from k4calofast.training.refinement import Refined, RefinementSettings
from k4calofast.training.seeds import seed_of
from k4calofast.training.workfolder import TRAINED, History, WorkFolder

_NOT_OF_THE_RESULT = {"block"}
"""Settings that do not change what is trained."""

_FINISH = "train it again to its end, into the same work folder"
"""What to do where a trained family cannot be read."""


def build(name: str, settings: Settings, shape: Shape) -> Family:
    """Return an untrained family."""
    made = families.load(name)
    torch.manual_seed(seed_of(settings.seed, "start"))
    family: Family = made(settings, shape)
    return family


def train(
    sample_file: Path,
    output: Path,
    work: Path,
    name: str,
    settings: Settings,
    command: str,
    report: loop.Report = lambda *_: None,
    start: Path | None = None,
    choose: Path | None = None,
    device: str = "cpu",
    hints: Hints | None = None,
    watch: loop.Watch = lambda *_: None,
    more: Sequence[Path] = (),
) -> ModelCard:
    """Train and export a generator.

    Parameters
    ----------
    sample_file
        Showers, in any format that is read; where they come from goes into the card.
    output
        Model folder to write; its last two parts are the model's name.
    work
        Folder for checkpoints and logs; a training that was killed goes on from there.
    name, settings
        Of the family.
    command
        What the user typed, for the card.
    start
        Work folder of an earlier training of the same networks, on another sample or region say,
        to start from.
    choose
        A sample with another seed, by which families that can do so choose their best epoch.
    device
        ``cpu`` or ``cuda``.
    hints
        What the samples do not say by themselves.
    watch
        Called after each epoch; see `k4calofast.training.loop`.
    more
        Further samples to train on, with other seeds.

    Raises
    ------
    FileFormatError, TrainingError
        If a sample cannot be read or used.
    """
    check_destination(output)
    with workfolder.opened(work) as place:
        of_layers = families.kind_of(name) == "layers"
        reader = layers.read if of_layers else partial(read_with_provenance, hints=hints)
        joined = joining.read(sample_file, more, reader)
        judge: Judge | None = None
        sample: Sample | LayeredSample
        if of_layers:
            if choose is not None:
                raise TrainingError(f"family '{name}' has no epochs to choose: leave --choose away")
            shape = origin.shape_of(joined.provenance, settings)
            sample = origin.sample_of(joined.showers, shape)
        else:
            shape = shape_of(joined.provenance)
            sample = Sample.of(joined.showers, settings.threshold)
        if choose is not None:
            others, other = read_with_provenance(choose, hints)
            for part in joined.parts:
                refuse_trained_on(choose, other, part.file, part.provenance)
            judge = Judge(Sample.of(others, settings.threshold), settings.seed)
        identity = _identity(sample_file, name, settings, start, choose, hints)
        spent = place.take_up(identity | joined.identity(), name, settings)
        family = build(name, settings, shape)
        seeds = [part.provenance.seed for part in joined.parts]
        history = _history(command, family, spent, seeds)
        if start is not None:
            _start_from(family, start)
            history = history.after(workfolder.notes(start))
        history = _prepare(family, sample, history)
        history = _run(family, sample, place, history, device, judge, report, watch)
        content = export.to_onnx(family)
        card = card_of(output, content, joined.provenance, family, len(sample), history)
        card = joined.noted(card)
        export.write_model(output, content, card)
        return card


def refine(
    generator_work: Path,
    sample_file: Path,
    output: Path,
    work: Path,
    settings: RefinementSettings,
    command: str,
    report: loop.Report = lambda *_: None,
    device: str = "cpu",
) -> ModelCard:
    """Refine a trained generator and export both as one.

    Parameters
    ----------
    generator_work
        Work folder of the generator's training.
    sample_file
        A shower sample, that of the training say.
    output, work, settings, command, report, device
        As for `train`, of the refinement.

    Raises
    ------
    FileFormatError, TrainingError
        If there is no trained generator, or the sample cannot be read or used.
    """
    check_destination(output)
    with workfolder.opened(work) as place:
        showers, provenance = read_with_provenance(sample_file)
        name, generator = trained(generator_work, provenance)
        earlier = workfolder.notes(generator_work)
        identity = _identity(sample_file, f"refined {name}", settings, generator_work, None)
        identity |= {"generator": earlier.identity}
        spent = place.take_up(identity, "refined", settings)
        sample = Sample.of(showers, generator.settings.threshold)
        torch.manual_seed(seed_of(settings.seed, "start"))
        family = Refined(settings, generator)
        history = _history(command, family, spent, [provenance.seed]).after(earlier)
        history = _prepare(family, sample, history)
        history = _run(family, sample, place, history, device, None, report)
        content = export.to_onnx(family)
        card = card_of(output, content, provenance, family, len(sample), history)
        export.write_model(output, content, card)
        return card


def _prepare(family: Family, sample: Any, history: History) -> History:
    """Let a family take its scales from the sample; return the history with the minutes spent."""
    began = time.monotonic()
    family.prepare(sample)
    return history.at(history.minutes + (time.monotonic() - began) / 60)


def _run(
    family: Family,
    sample: Any,
    place: WorkFolder,
    history: History,
    device: str,
    judge: Judge | None,
    report: loop.Report,
    watch: loop.Watch = lambda *_: None,
) -> History:
    """Run all stages of a family, save it, and return the history with the minutes spent."""
    began = time.monotonic()
    spent = history.minutes
    settings = family.settings
    for stage in family.stages(sample):
        loop.fit(
            stage,
            place.folder,
            settings.seed,
            settings.precision,
            settings.epoch,
            settings.patience,
            device,
            judge,
            report,
            watch,
        )
        history = history.at(spent + (time.monotonic() - began) / 60)
        place.note(history)
    family.eval()
    with torch.no_grad():
        family.finish(sample)
    history = history.at(spent + (time.monotonic() - began) / 60)
    place.note(history)
    place.keep(family.state_dict())
    return history


def refuse_trained_on(
    choose: Path, other: CrystalProvenance, sample_file: Path, provenance: CrystalProvenance
) -> None:
    """Refuse to choose by showers that are trained on.

    Raises
    ------
    TrainingError
        If both samples have one seed, or are one file.
    """
    if other.seed is not None and other.seed == provenance.seed:
        raise TrainingError(
            f"{choose} has the seed of {sample_file}, {other.seed}: "
            "epochs are chosen by showers that are not trained on"
        )
    if choose.samefile(sample_file):
        raise TrainingError(f"{choose} is trained on: epochs are chosen by other showers")


def shape_of(provenance: CrystalProvenance) -> Shape:
    """Return what a sample decides about a generator."""
    kinds = provenance.coverage.values()
    ranges = {
        condition.name: (
            min(kind[condition.name][0] for kind in kinds),
            max(kind[condition.name][1] for kind in kinds),
        )
        for condition in CONDITIONS
    }
    return Shape(sorted(provenance.coverage), ranges, provenance.window, provenance.detector)


def trained(work: Path, provenance: CrystalProvenance) -> tuple[str, Family]:
    """Return the name of a family and the family that was trained in a work folder.

    Raises
    ------
    TrainingError
        If there is none.
    """
    name, settings = workfolder.settings(work)
    family = build(name, settings, shape_of(provenance))
    weights = workfolder.weights(work / TRAINED, _FINISH)
    try:
        family.load_state_dict(weights)
    except RuntimeError as error:
        raise TrainingError(
            f"{work / TRAINED}: not of these settings: {workfolder.first_line(error)}"
        ) from None
    return name, family.eval()


def _start_from(family: Family, work: Path) -> None:
    """Take the networks of another training; scales and tables stay those of the sample."""
    weights = workfolder.weights(work / TRAINED, _FINISH)
    try:
        family.start_from(weights)
    except (KeyError, RuntimeError) as error:
        raise TrainingError(
            f"{work}: no generator of these networks to start from: {workfolder.first_line(error)}"
        ) from None


def _history(
    command: str, family: Family, minutes: float, samples: Sequence[int | None]
) -> History:
    """History of a training that goes on after so many minutes, on samples with these seeds."""
    seeds = tuple(seed for seed in samples if seed is not None)
    return History(command=command, method=family.method(), minutes=minutes, seeds=seeds)


def _identity(
    sample_file: Path,
    name: str,
    settings: Settings,
    start: Path | None,
    choose: Path | None,
    hints: Hints | None = None,
) -> dict[str, object]:
    """What decides the result of a training."""
    return {
        "sample": joining.digest(sample_file),
        "family": name,
        "settings": settings.model_dump(mode="json", exclude=_NOT_OF_THE_RESULT),
        "start": None if start is None else str(start),
        "choose": None if choose is None else str(choose),
        "hints": {key: str(value) for key, value in asdict(hints or Hints()).items()},
        "version": __version__,
    }


def card_of(
    output: Path,
    content: bytes,
    provenance: Provenance,
    family: Family,
    count: int,
    history: History,
) -> ModelCard:
    """Return the card of a generator that was just trained; its validation is still empty."""
    settings = family.settings
    return ModelCard(
        name="/".join(output.resolve().parts[-2:]),
        version=__version__,
        description=(
            f"Energies in {' x '.join(map(str, family.window))} cells around where a particle "
            f"enters {provenance.detector}: {family.title}."
        ),
        licence="Apache-2.0",
        authors="The k4calofast developers",
        file=MODEL_FILE,
        sha256=digest(content),
        detector=provenance.detector,
        interface=family.interface,
        window=family.window,
        threshold=settings.threshold,
        kinds=family.coverage(provenance.coverage),
        noise=family.noise,
        uniform=family.uniform,
        block=settings.block,
        blocks_per_call=family.blocks_per_call,
        training=Training(
            method=history.methods,
            command=history.commands,
            showers=count,
            sample=f"{provenance.geometry}; {provenance.sampling}; seed "
            + ("unknown" if provenance.seed is None else str(provenance.seed)),
            seed=settings.seed,
            simulation=provenance.simulation,
            physics=provenance.physics,
            physics_data=provenance.physics_data,
            software=f"k4calofast {__version__}, torch {torch.__version__}",
            machine=_machine(),
            minutes=round(history.all_minutes, 1),
            family=family.title,
            sample_seed=provenance.seed,
            more_seeds=tuple(seed for seed in history.seeds if seed != provenance.seed),
        ),
        validation={},
    )


def _machine() -> str:
    return f"{torch.get_num_threads()} threads, {processor()}"
