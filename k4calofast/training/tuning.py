"""Search for the settings of a family: many trainings, each learnt from by those that follow.

Optuna proposes settings with a tree-structured Parzen estimator (J. Bergstra et al., Algorithms
for hyper-parameter optimization, NeurIPS 2011) and keeps all trials in a database. What a trial
is tried with depends on the seed, its number, and the trials before it alone; a trial that was
killed goes on, from its last checkpoint, when the search does.
"""

from __future__ import annotations

import io
import json
import math
import re
import shutil
import statistics
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState

from k4calofast import output
from k4calofast.exceptions import TrainingError
from k4calofast.generator import Model
from k4calofast.locks import locked
from k4calofast.pictures import plotting
from k4calofast.showers.reading import Hints
from k4calofast.training import configuration, families, joining, kinds, loop, recipe
from k4calofast.training.configuration import Settings
from k4calofast.training.kinds import Kind
from k4calofast.training.objectives import measured
from k4calofast.training.seeds import seed_of
from k4calofast.training.space import Range, Space, chosen, plain
from k4calofast.training.workfolder import first_line
from k4calofast.validation.objectives import OBJECTIVES

Reference = tuple[Any, Any]
"""Showers by which trials are compared, and where they come from."""

Progress = Callable[[], AbstractContextManager[loop.Report]]
"""Shows one training."""

BEST, HISTORY, STORAGE = "best.yaml", "history.png", "study.db"
"""In the folder of a search: the best settings, the figure, and all trials."""

_MOST = 20_000
"""Showers by which trials are compared, at most."""

_LEAST = 5
"""Completed trials before any is pruned."""

_EARLIEST = 0.2
"""Part of a stage before which no trial is pruned."""

_MANY_TIMES = 10
"""The worst trial over the best from which on a figure is logarithmic."""

_PARTS, _STAGE = 1000, 10_000
"""Parts of a stage that reports tell apart, and numbers between the reports of two stages."""


@dataclass(frozen=True)
class Search:
    """What is searched for.

    Attributes
    ----------
    sample, choose
        Files: showers to train on, and others to compare trials by.
    family, base, space
        Whose settings, their values where they are not searched, and those that are.
    objective
        One of `k4calofast.validation.objectives.OBJECTIVES`.
    seed
        Of what is tried; trainings have that of the settings.
    prune
        Whether to give up trainings that are worse than the median at the same place.
    device, hints, command
        As for `k4calofast.training.recipe.train`.

    Raises
    ------
    TrainingError
        If the kind of calorimeters that the family is for has no such objective.
    """

    sample: Path
    choose: Path
    family: str
    base: Settings
    space: Space
    objective: str = "chi2"
    seed: int = 0
    prune: bool = True
    device: str = "cpu"
    hints: Hints = Hints()  # noqa: RUF009 - it is frozen
    command: str = ""

    def __post_init__(self) -> None:
        known = [name for name in OBJECTIVES if name not in self.kind.without]
        if self.objective not in known:
            reason = self.kind.without.get(self.objective)
            raise TrainingError(
                f"no objective '{self.objective}' of family {self.family}"
                + (f": {reason}" if reason else "")
                + f"; there are {', '.join(known)}"
            )

    @property
    def kind(self) -> Kind:
        """Of calorimeters that the family is for."""
        return kinds.of(families.kind_of(self.family))

    def reference(self) -> Reference:
        """Read the showers that trials are compared by, after making sure that they may be.

        Raises
        ------
        FileFormatError, TrainingError
            If a sample cannot be read, or both are the same.
        """
        _, provenance = joining.read_sample(self.sample, self.kind, self.hints)
        showers, other = joining.read_sample(self.choose, self.kind, self.hints)
        recipe.refuse_trained_on(self.choose, other, self.sample, provenance)
        # Evenly: samples may be ordered by particle.
        return showers.take(slice(None, None, -(-len(showers) // _MOST))), other

    def identity(self) -> dict[str, Any]:
        """What makes trials comparable."""
        identity = {
            "sample": joining.digest(self.sample),
            "choose": joining.digest(self.choose),
            "family": self.family,
            "settings": self.base.model_dump(mode="json", exclude=set(self.space)),
            "space": plain(self.space),
            "objective": self.objective,
            "seed": self.seed,
        }
        as_stored: dict[str, Any] = json.loads(json.dumps(identity))
        return as_stored

    def settings(self, trial: Any) -> Settings:
        """Return the settings of a trial, running or not."""
        values = {name: trial.params[name] for name in self.space}
        return chosen(self.family, self.base, values)

    def suggest(self, trial: optuna.Trial) -> Settings:
        """Let a trial have its settings; one that goes on has those it had.

        Raises
        ------
        TrainingError
            If the family does not allow them together.
        """
        # A sampler has one stream of random numbers: a new one makes each trial's its own.
        trial.study.sampler = optuna.samplers.TPESampler(
            seed=seed_of(self.seed, trial.number) % 2**32
        )
        for name, tried in self.space.items():
            if not isinstance(tried, Range):
                trial.suggest_categorical(name, tried)
            elif isinstance(tried.low, int):
                trial.suggest_int(name, tried.low, tried.high, log=tried.log)
            else:
                trial.suggest_float(name, tried.low, tried.high, log=tried.log)
        return self.settings(trial)


def tune(
    search: Search,
    out: Path,
    trials: int,
    progress: Progress,
    said: Callable[[str], None] = lambda _: None,
    storage: str | None = None,
    name: str = "tune",
) -> optuna.Study:
    """Search until there are so many trials, and return all of them.

    The same call goes on where a killed one stopped, and several processes may search together.

    Parameters
    ----------
    out
        Folder for the best trial, and for all that run; shared by processes on one machine.
    trials
        In the study, those that failed or were pruned among them.
    progress
        Shows a training.
    said
        Called with a line about each trial.
    storage
        URL of a database; by default SQLite in the folder.
    name
        Of the study.

    Raises
    ------
    TrainingError
        If samples or study do not fit, or no trial could be completed.
    MissingExtraError
        If the packages for metrics are not installed.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if not re.fullmatch(r"[\w.-]+", name):
        raise TrainingError(f"study '{name}': a name has letters, digits, '.', '_' and '-'")
    for file in (BEST, HISTORY):
        output.check(out / file)
    reference = search.reference()
    with output.explained(out):
        out.mkdir(parents=True, exist_ok=True)
    study = _study(search, out, storage, name)
    folders = _Folders(out, name)
    for trial in _to_run(study, folders, trials):
        said(_run(search, study, trial, folders, reference, progress))
        _keep_the_best(search, study, folders)
    _keep_the_best(search, study, folders)
    if not completed(study):
        errors = [trial.user_attrs.get("error") for trial in study.get_trials(deepcopy=False)]
        raise TrainingError(f"no trial was completed; the last one said: {errors[-1]}")
    output.write(out / HISTORY, history(study, search.objective))
    return study


def completed(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """Trials that were completed, the best first."""
    found = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return sorted(found, key=lambda trial: (trial.value, trial.number))


def history(study: optuna.Study, objective: str) -> bytes:
    """Draw the objective against the trial (PNG); trials without one are at the upper edge."""
    plt, mplhep = plotting()
    done = sorted(completed(study), key=lambda trial: trial.number)
    numbers, values = [trial.number for trial in done], [trial.value for trial in done]
    with plt.style.context(mplhep.style.ATLAS), plt.rc_context({"font.size": 9}):
        figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
        axes.plot(numbers, values, "o", color="black", label="completed")
        best = list(accumulate(values, min))
        axes.plot(numbers, best, color="tab:red", drawstyle="steps-post", label="best so far")
        for state, marker, label in (
            (TrialState.PRUNED, "x", "pruned"),
            (TrialState.FAIL, "v", "failed"),
        ):
            gone = [trial.number for trial in study.get_trials(deepcopy=False, states=(state,))]
            edge = axes.get_xaxis_transform()
            if gone:
                height = [0.96] * len(gone)
                axes.plot(gone, height, marker, color="gray", transform=edge, label=label)
        if 0 < _MANY_TIMES * min(values, default=0) < max(values, default=0):
            axes.set_yscale("log")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_xlabel("trial")
        axes.set_ylabel(OBJECTIVES[objective])
        axes.legend(loc="best")
        buffer = io.BytesIO()
        figure.savefig(buffer, dpi=110, format="png")
        plt.close(figure)
    return buffer.getvalue()


class Median(optuna.pruners.BasePruner):  # type: ignore[misc]
    """Gives up a trial that is worse than the median of the completed ones at the same place.

    Optuna's own compares the best figure of all the trial so far, which for a training of several
    stages mixes the loss of one with that of another.
    """

    def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        """Return whether to give a trial up."""
        place = trial.last_step
        if place is None or place % _STAGE < _EARLIEST * _PARTS:
            return False
        others = [_best_until(other, place) for other in completed(study)]
        figures = [figure for figure in others if figure is not None]
        figure = _best_until(trial, place)
        return len(figures) >= _LEAST and figure is not None and figure > statistics.median(figures)


def _best_until(trial: optuna.trial.FrozenTrial, place: int) -> float | None:
    """The smallest figure of a stage up to a place."""
    values = [
        value
        for step, value in trial.intermediate_values.items()
        if step // _STAGE == place // _STAGE and step <= place
    ]
    return min(values, default=None)


class _Watch:
    """Reports figures of a training's epochs to its trial."""

    def __init__(self, trial: optuna.Trial, prune: bool) -> None:
        self.trial, self.prune = trial, prune

    def __call__(self, stage: str, step: int, steps: int, figure: float) -> None:
        # Trials may differ in steps: what they are compared at is a part of a stage.
        stages = self.trial.user_attrs.get("stages", [])
        if stage not in stages:
            stages = [*stages, stage]
            self.trial.set_user_attr("stages", stages)
        place = _STAGE * stages.index(stage) + round(_PARTS * step / steps)
        self.trial.report(figure, place)
        if self.prune and self.trial.should_prune():
            raise optuna.TrialPruned


@dataclass(frozen=True)
class _Folders:
    """Where the trials of a study are."""

    out: Path
    study: str

    def model(self, number: int, suffix: str = "") -> Path:
        return self.out / f"{self.study}-{number:04}{suffix}"

    def work(self, number: int) -> Path:
        return self.model(number, ".work")

    def lock(self, number: int) -> Path:
        return self.model(number, ".lock")

    def remove(self, number: int) -> None:
        for folder in (self.model(number), self.work(number)):
            shutil.rmtree(folder, ignore_errors=True)
        self.lock(number).unlink(missing_ok=True)


def _study(search: Search, out: Path, storage: str | None, name: str) -> optuna.Study:
    """Open a study, or start it, after making sure that it is of the same search."""
    url = storage or f"sqlite:///{(out / STORAGE).resolve()}"
    # Of several processes, one at a time makes the tables; with SQLite, others wait for a while.
    patience = {"connect_args": {"timeout": 60}} if url.startswith("sqlite") else {}
    with locked(out / f"{name}.lock", wait=True):
        try:
            study = optuna.create_study(
                storage=optuna.storages.RDBStorage(url, engine_kwargs=patience),
                study_name=name,
                pruner=Median(),
                load_if_exists=True,
            )
        except Exception as error:
            # Each database has its own classes of errors.
            raise TrainingError(f"no study in this storage: {first_line(error)}") from None
        identity = search.identity()
        try:
            known = study.user_attrs.setdefault("identity", identity)
            study.set_user_attr("identity", known)
            changed = [key for key in identity if known.get(key) != identity[key]]
            wrong = "" if changed else _wrong(study, search.space)
        except Exception as error:
            # What was edited by hand fails in Optuna, in SQLAlchemy, or in the database.
            changed, wrong = [], first_line(error)
        if changed:
            raise TrainingError(
                f"study '{name}' is of another {', '.join(changed)}; choose another --study"
            )
        if wrong:
            raise TrainingError(
                f"study '{name}' is damaged ({wrong}); choose another --study, or another storage"
            )
    return study


def _wrong(study: optuna.Study, space: Space) -> str:
    """What no search has written into a study; nothing if all is well."""
    if study.direction != optuna.study.StudyDirection.MINIMIZE:
        return "it does not minimise"
    for trial in study.get_trials(deepcopy=False):
        for name, value in trial.params.items():
            tried = space.get(name, ())
            if not (
                tried.low <= value <= tried.high if isinstance(tried, Range) else value in tried
            ):
                return f"trial {trial.number} has {name} {value!r}"
        if trial.state == TrialState.COMPLETE:
            if set(trial.params) != set(space):
                return f"trial {trial.number} lacks settings"
            if trial.value is None or not math.isfinite(trial.value):
                return f"trial {trial.number} has the figure {trial.value}"
            if not isinstance(trial.user_attrs.get("minutes"), int | float):
                return f"trial {trial.number} says not how long it took"
    return ""


def _to_run(study: optuna.Study, folders: _Folders, trials: int) -> Iterator[optuna.Trial]:
    """Yield trials, no other process has them: first those that a kill has left, then new ones."""
    for left in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if not folders.lock(left.number).is_file():
            continue
        with locked(folders.lock(left.number)) as ours:
            now = study.get_trials(deepcopy=False)[left.number]
            if ours and now.state == TrialState.RUNNING:
                yield optuna.Trial(study, left._trial_id)
    while len(study.get_trials(deepcopy=False)) < trials:
        trial = study.ask()
        with locked(folders.lock(trial.number)) as ours:
            if ours:
                yield trial


def _run(
    search: Search,
    study: optuna.Study,
    trial: optuna.Trial,
    folders: _Folders,
    reference: Reference,
    progress: Progress,
) -> str:
    """Train with a trial's settings, say how good that is, and return a line about it."""
    model = folders.model(trial.number)
    try:
        settings = search.suggest(trial)
        with progress() as report:
            task = recipe.Task(
                search.family, settings, search.sample, choose=search.choose, hints=search.hints
            )
            product = recipe.Product(model, folders.work(trial.number), search.command)
            run = loop.Run(search.device, report, _Watch(trial, search.prune))
            card = recipe.train(task, product, run)
        value = measured(search.objective, Model(model, "cpu"), *reference)
    except optuna.TrialPruned:
        study.tell(trial, state=TrialState.PRUNED)
        return f"trial {trial.number}: pruned"
    except TrainingError as error:
        trial.set_user_attr("error", str(error))
        study.tell(trial, state=TrialState.FAIL)
        return f"trial {trial.number}: failed: {error}"
    trial.set_user_attr("minutes", card.training.minutes)
    study.tell(trial, value)
    best = completed(study)[0]
    said = "the best" if best.number == trial.number else f"the best is {best.number}"
    return f"trial {trial.number}: {search.objective} {value:.4g}, {said}"


def _keep_the_best(search: Search, study: optuna.Study, folders: _Folders) -> None:
    """Write the best settings, and remove the folders of all other trials that are over."""
    known = study.get_trials(deepcopy=False)
    done = [trial for trial in known if trial.state == TrialState.COMPLETE]
    best = min(done, key=lambda trial: (trial.value, trial.number), default=None)
    for trial in known:
        if trial.state.is_finished() and trial is not best:
            folders.remove(trial.number)
    if best is not None:
        text = configuration.text(search.family, search.settings(best))
        output.write(folders.out / BEST, text)
