"""From a shower sample to a model folder: what is the same for every family of generators.

Everything that a training leaves besides its product is in `k4calofast.training.workfolder`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from k4calofast import __version__
from k4calofast.exceptions import TrainingError
from k4calofast.generator.card import (
    MODEL_FILE,
    ModelCard,
    Training,
    check_destination,
    digest,
)
from k4calofast.machine import processor
from k4calofast.showers.provenance import Provenance
from k4calofast.showers.reading import Hints
from k4calofast.training import export, families, joining, kinds, loop, workfolder
from k4calofast.training.authorship import Authorship
from k4calofast.training.configuration import Settings
from k4calofast.training.family import Family
from k4calofast.training.joining import Joined
from k4calofast.training.kinds import Judge, Kind
from k4calofast.training.loop import Run
from k4calofast.training.refinement import RefinementSettings
from k4calofast.training.seeds import seed_of
from k4calofast.training.workfolder import TRAINED, History, WorkFolder

logger = logging.getLogger(__name__)

_NOT_OF_THE_RESULT = {"block"}
"""Settings that do not change what is trained."""

_FINISH = "train it again to its end, into the same work folder"
"""What to do where a trained family cannot be read."""


@dataclass(frozen=True)
class Task:
    """What is trained on what: all that decides the result.

    Attributes
    ----------
    family, settings
        Name of the family, and its settings; of a refinement, the name of nothing.
    sample
        Showers, in any format that is read; where they come from goes into the card.
    more
        Further samples to train on, with other seeds.
    choose
        A sample with another seed, by which families that can do so choose their best epoch.
    start
        Work folder of an earlier training of the same networks, on another sample or region say,
        to start from; of a refinement, that of the generator's training.
    hints
        What the samples do not say by themselves.
    """

    family: str
    settings: Settings
    sample: Path
    more: Sequence[Path] = ()
    choose: Path | None = None
    start: Path | None = None
    hints: Hints = Hints()  # noqa: RUF009 - it is frozen

    def identity(self) -> dict[str, object]:
        """Return what decides the result, but for further samples."""
        return {
            "sample": joining.digest(self.sample),
            "family": self.family,
            "settings": self.settings.model_dump(mode="json", exclude=_NOT_OF_THE_RESULT),
            "start": None if self.start is None else str(self.start),
            "choose": None if self.choose is None else str(self.choose),
            "hints": {key: str(value) for key, value in asdict(self.hints).items()},
            # Versions between tags are those of the release that they lead to.
            "version": __version__.partition("+")[0].partition(".dev")[0],
        }


@dataclass(frozen=True)
class Product:
    """Where the result goes, and what its card says of whose it is.

    Attributes
    ----------
    model
        Model folder to write; its last two parts are the model's name.
    work
        Folder for checkpoints and logs; a training that was killed goes on from there.
    command
        What the user typed, for the card.
    authorship
        Author, licence and version.
    """

    model: Path
    work: Path
    command: str = ""
    authorship: Authorship = Authorship()  # noqa: RUF009 - it is frozen


def build(name: str, settings: Settings, shape: Any) -> Family:
    """Return an untrained family."""
    made = families.load(name)
    torch.manual_seed(seed_of(settings.seed, "start"))
    family: Family = made(settings, shape)
    return family


def train(task: Task, product: Product, run: Run | None = None) -> ModelCard:
    """Train and export a generator.

    Raises
    ------
    FileFormatError, TrainingError
        If a sample cannot be read or used.
    """
    check_destination(product.model)
    kind = kinds.of(families.kind_of(task.family))
    with workfolder.opened(product.work) as place:
        joined = joining.read(task.sample, task.more, kind, task.hints)
        shape = kind.shape(joined.provenance, task.settings)
        sample = kind.sample(joined.showers, shape, task.settings)
        judge = None if task.choose is None else _judge(task, kind, joined, shape)
        identity = task.identity() | joined.identity()
        spent = place.take_up(identity, task.family, task.settings)
        family = build(task.family, task.settings, shape)
        history = _history(product.command, family, spent, joined)
        if task.start is not None:
            file, remedy = task.start / TRAINED, "start from a finished training of the same family"
            workfolder.load(file, family.start_from, "other networks", remedy)
            history = history.after(workfolder.notes(task.start))
        history = _fit(family, sample, place, history, judge, run or Run())
        return _exported(kind.exported(family, joined.showers, sample), joined, history, product)


def refine(
    generator: Path,
    sample: Path,
    settings: RefinementSettings,
    product: Product,
    run: Run | None = None,
) -> ModelCard:
    """Refine a trained generator and export both as one.

    Parameters
    ----------
    generator
        Work folder of the generator's training.
    sample
        A shower sample, that of the training say.
    settings
        Of the refinement.
    product, run
        As for `train`.

    Raises
    ------
    FileFormatError, TrainingError
        If there is no trained generator, or the sample cannot be read or used.
    """
    check_destination(product.model)
    name, of_generator = workfolder.settings(generator)
    kind = kinds.of(families.kind_of(name))
    with workfolder.opened(product.work) as place:
        joined = joining.read(sample, (), kind, Hints())
        trained_one = trained(generator, joined.provenance)[1]
        earlier = workfolder.notes(generator)
        task = Task(f"refined {name}", settings, sample, start=generator)
        identity = task.identity() | {"generator": earlier.identity}
        spent = place.take_up(identity, "refined", settings)
        tensors = kind.sample(joined.showers, trained_one.shape, of_generator)
        torch.manual_seed(seed_of(settings.seed, "start"))
        family = kind.refined(settings, trained_one)
        history = _history(product.command, family, spent, joined).after(earlier)
        history = _fit(family, tensors, place, history, None, run or Run())
        return _exported(kind.exported(family, joined.showers, tensors), joined, history, product)


def _judge(task: Task, kind: Kind, joined: Joined, shape: Any) -> Judge:
    """What epochs are judged by: showers that are not trained on."""
    assert task.choose is not None  # noqa: S101 - for the type checker
    showers, provenance = joining.read_sample(task.choose, kind, task.hints)
    for part in joined.parts:
        refuse_trained_on(task.choose, provenance, part.file, part.provenance)
    return kind.judge(kind.sample(showers, shape, task.settings), task.settings.seed)


def _fit(
    family: Family, sample: Any, place: WorkFolder, history: History, judge: Judge | None, run: Run
) -> History:
    """Train a family and keep it; return the history with the minutes spent."""
    spent = history.minutes
    began = time.monotonic()
    precision = family.settings.precision
    if loop.slow(precision, run.device):
        logger.warning(
            "this processor has no instructions for %s, and imitates them: "
            "--set precision=32-true is several times faster",
            precision,
        )

    def so_far() -> History:
        return history.at(spent + (time.monotonic() - began) / 60)

    family.prepare(sample)
    for stage in family.stages(sample):
        loop.fit(stage, place.folder, judge, run)
        place.note(so_far())
    family.eval()
    with torch.no_grad():
        family.finish(sample)
    history = so_far()
    place.note(history)
    place.keep(family.state_dict())
    return history


def _exported(family: Family, joined: Joined, history: History, product: Product) -> ModelCard:
    """Write a model folder, and return its card."""
    content = export.to_onnx(family)
    card = card_of(family, content, joined, history, product)
    export.write_model(product.model, content, card)
    return card


def refuse_trained_on(
    choose: Path, other: Provenance, sample: Path, provenance: Provenance
) -> None:
    """Refuse to choose by showers that are trained on.

    Raises
    ------
    TrainingError
        If both samples have one seed, or are one file.
    """
    if other.seed is not None and other.seed == provenance.seed:
        raise TrainingError(
            f"{choose} has the seed of {sample}, {other.seed}: "
            "epochs are chosen by showers that are not trained on"
        )
    if choose.samefile(sample):
        raise TrainingError(f"{choose} is trained on: epochs are chosen by other showers")


def trained(work: Path, provenance: Provenance) -> tuple[str, Family]:
    """Return the name of a family and the family that was trained in a work folder.

    Raises
    ------
    TrainingError
        If there is none.
    """
    name, settings = workfolder.settings(work)
    shape = kinds.of(families.kind_of(name)).shape(provenance, settings)
    family = build(name, settings, shape)
    workfolder.load(work / TRAINED, family.load_state_dict, "not of these settings", _FINISH)
    return name, family.eval()


def _history(command: str, family: Family, minutes: float, joined: Joined) -> History:
    """History of a training that goes on after so many minutes."""
    samples = (part.provenance.seed for part in joined.parts)
    seeds = tuple(seed for seed in samples if seed is not None)
    return History(command=command, method=family.method(), minutes=minutes, seeds=seeds)


def card_of(
    family: Family, content: bytes, joined: Joined, history: History, product: Product
) -> ModelCard:
    """Return the card of a generator that was just trained; its validation is still empty."""
    provenance: Provenance = joined.provenance
    return ModelCard(
        name="/".join(product.model.resolve().parts[-2:]),
        version=product.authorship.version,
        description=(
            f"Energies in {' x '.join(map(str, family.window))} cells around where a particle "
            f"enters {provenance.detector}: {family.title}."
        ),
        licence=product.authorship.licence,
        authors=product.authorship.author,
        file=MODEL_FILE,
        sha256=digest(content),
        detector=provenance.detector,
        interface=family.interface,
        window=family.window,
        threshold=family.threshold,
        kinds=family.coverage(provenance.coverage),
        noise=family.noise,
        uniform=family.uniform,
        block=family.block,
        blocks_per_call=family.blocks_per_call,
        training=Training(
            method=history.methods,
            command=history.commands,
            showers=len(joined.showers),
            sample=joined.described(),
            seed=family.settings.seed,
            simulation=provenance.simulation,
            physics=provenance.physics,
            physics_data=provenance.physics_data,
            software=f"k4calofast {__version__}, torch {torch.__version__}",
            machine=f"{torch.get_num_threads()} threads, {processor()}",
            minutes=round(history.all_minutes, 1),
            family=family.title,
            sample_seed=provenance.seed,
            more_seeds=tuple(seed for seed in history.seeds if seed != provenance.seed),
        ),
        validation={},
    )
