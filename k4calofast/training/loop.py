"""The training loop of all families: Lightning, with checkpoints that go on to the same result.

An epoch is a number of steps, not a pass over the sample. Which showers a step sees, and every
random number in it, is a function of seed, stage and step alone; so a training that was killed goes
on from its last epoch as if nothing had happened.
"""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from k4calofast import output
from k4calofast.exceptions import TrainingError
from k4calofast.training.configuration import Settings
from k4calofast.training.family import Stage
from k4calofast.training.kinds import Judge
from k4calofast.training.seeds import seed_of
from k4calofast.training.workfolder import BEST, LAST, first_line, load

_EVERY = 20
"""Steps between two lines of the log."""

_BF16 = ("avx512_bf16", "amx_bf16")
"""What processors are called, in torch's words, that compute with such numbers."""

Report = Callable[[str, int, int, float], None]
"""Called with a stage, its steps done, all its steps, and the smoothed loss."""


@dataclass(frozen=True)
class Run:
    """How trainings run; the result is the same.

    Attributes
    ----------
    device
        ``cpu`` or ``cuda``.
    report, watch
        Called after each step and after each epoch, the latter with the judge's figure where there
        is one; what they raise ends the training.
    """

    device: str = "cpu"
    report: Report = lambda *_: None
    watch: Report = lambda *_: None


def slow(precision: str, device: str) -> bool:
    """Whether this processor must imitate a precision, which takes several times as long."""
    known = torch.cpu.get_capabilities()
    return (
        device == "cpu"
        and precision == "bf16-mixed"
        and known.get("architecture") == "x86_64"
        and not any(known.get(name) for name in _BF16)
    )


def rows_of(count: int, batch: int, step: int, seed: int) -> Tensor:
    """Return the rows (batch,) of a sample of `count` that a step sees.

    Every shower comes once before any comes again; what does not fill a batch is left out.
    """
    if count < batch:
        raise TrainingError(
            f"{count} showers are fewer than one batch of {batch}; give more, or a smaller batch "
            "by --set: --show lists the settings"
        )
    lap, place = divmod(step, count // batch)
    order = _order(count, seed_of(seed, "order", lap))
    return order[place * batch : (place + 1) * batch]


@lru_cache(maxsize=1)
def _order(count: int, seed: int) -> Tensor:
    return torch.randperm(count, generator=torch.Generator().manual_seed(seed))


def fit(stage: Stage, work: Path, judge: Judge | None, run: Run) -> None:
    """Run a stage to its end, from its last checkpoint if there is one.

    Parameters
    ----------
    stage
        What to train; its averages, or those of the best epoch, are in place afterwards.
    work
        Folder for checkpoints and logs.
    judge
        Says how good an epoch is, for stages that can be judged.
    run
        How it runs.

    Raises
    ------
    TrainingError
        If a checkpoint is damaged, or the training diverges.
    """
    settings: Settings = stage.family.settings
    folder = work / stage.name
    folder.mkdir(parents=True, exist_ok=True)
    judge = judge if stage.chooses else None
    course = _Course(stage, folder, judge, run)
    loader: DataLoader[Tensor] = DataLoader(_Rows(stage), batch_size=None)
    with warnings.catch_warnings():
        # Hints for other ways of loading data and of logging.
        warnings.simplefilter("ignore")
        for name in ("lightning.pytorch", "lightning.fabric"):
            logging.getLogger(name).setLevel(logging.ERROR)
        loggers = [
            CSVLogger(folder, name="", version=""),
            TensorBoardLogger(folder, name="", version=""),
        ]
        manual = not stage.automatic_optimization
        trainer = Trainer(
            accelerator="gpu" if run.device == "cuda" else "cpu",
            devices=1,
            precision=settings.precision,
            max_epochs=math.ceil(stage.steps / settings.epoch),
            logger=loggers,
            callbacks=[course],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            log_every_n_steps=_EVERY,
            gradient_clip_val=None if manual else stage.largest_gradient,
            deterministic=True,
            num_sanity_val_steps=0,
        )
        last = folder / LAST
        goes_on = last.is_file()
        try:
            trainer.fit(stage, loader, ckpt_path=last if goes_on else None, weights_only=True)
        except Exception as error:
            if course.started or not goes_on:
                raise
            # Lightning and torch raise whatever comes to them for files that are damaged.
            raise TrainingError(
                f"{last}: nothing to go on from ({first_line(error)}); {_remedy(folder)}"
            ) from error
    stage.to("cpu")
    course.conclude()


class _Rows(IterableDataset[Tensor]):
    """Rows of the steps of one epoch."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self.stage = stage
        self.settings: Settings = stage.family.settings

    def __len__(self) -> int:
        return self.settings.epoch

    def __iter__(self) -> Iterator[Tensor]:
        first = int(self.stage.steps_done)
        for step in range(first, min(first + len(self), self.stage.steps)):
            yield rows_of(self.stage.count, self.stage.batch, step, self.settings.seed)


class _Course(Callback):
    """Seeds steps, keeps averages, judges epochs, writes checkpoints."""

    def __init__(self, stage: Stage, folder: Path, judge: Judge | None, run: Run) -> None:
        self.stage, self.folder, self.judge, self.run = stage, folder, judge, run
        self.settings: Settings = stage.family.settings
        self.best, self.since, self.smoothed = math.inf, 0, math.nan
        self.started = False

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "since": self.since, "smoothed": self.smoothed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best, self.since = float(state_dict["best"]), int(state_dict["since"])
        self.smoothed = float(state_dict["smoothed"])

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.started = True
        self.stage.sample = self.stage.sample.to(self.stage.device)
        if self._is_over():
            trainer.should_stop = True

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        torch.manual_seed(seed_of(self.settings.seed, self.stage.name, int(self.stage.steps_done)))

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        self.stage.follow()
        value = float(outputs["loss"]) if isinstance(outputs, dict) else float(outputs)
        if not math.isfinite(value):
            raise TrainingError(
                f"{self.stage.name}: the loss is {value} at step {int(self.stage.steps_done)}; "
                "try a smaller learning rate by --set: --show lists the settings"
            )
        first = math.isnan(self.smoothed)
        self.smoothed = value if first else 0.99 * self.smoothed + 0.01 * value
        self.stage.log("loss", self.smoothed)
        self.run.report(
            self.stage.name, int(self.stage.steps_done), self.stage.steps, self.smoothed
        )

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        figure = self.smoothed
        if self.judge is not None:
            with self.stage.averaged():
                figure = self.judge(self.stage)
            self.stage.log(self.judge.figure, figure)
            self.since += 1
            if figure < self.best:
                self.best, self.since = figure, 0
                with output.NewFile(self.folder / BEST) as unfinished:
                    torch.save(self.stage.average.state_dict(), unfinished)
            if self._is_over():
                trainer.should_stop = True
        with output.NewFile(self.folder / LAST) as unfinished:
            trainer.save_checkpoint(unfinished)
        self.run.watch(self.stage.name, int(self.stage.steps_done), self.stage.steps, figure)

    def conclude(self) -> None:
        """Put the averages in place, those of the best epoch if epochs were judged."""
        best = self.folder / BEST
        if self.judge is not None and best.is_file():
            take = self.stage.average.load_state_dict
            load(best, take, "not of this stage", _remedy(self.folder))
        self.stage.conclude()

    def _is_over(self) -> bool:
        return 0 < self.settings.patience <= self.since


def _remedy(folder: Path) -> str:
    return f"remove {folder}, and the same command trains this stage again"
