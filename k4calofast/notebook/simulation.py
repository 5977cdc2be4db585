"""Particles in, events with hits out."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import lru_cache
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from k4calofast.engine import FastSimulation, RunSummary
from k4calofast.engine.outputs import SUBSET_OF, metadata, output_fields, with_output_names
from k4calofast.events.edm4hep import CALO_HIT_CONTRIBUTION, SIM_CALORIMETER_HIT
from k4calofast.events.frames import CollectionInfo, Frames
from k4calofast.events.typed import event_keys
from k4calofast.events.typed import particles as read_particles
from k4calofast.exceptions import NotSimulatedWarning, SteeringError
from k4calofast.generator import Model
from k4calofast.incidence import FATES
from k4calofast.incidence.fate import Fates
from k4calofast.notebook import inputs
from k4calofast.notebook.arrays import layout_of
from k4calofast.notebook.content import Content
from k4calofast.notebook.events import Events, events_of
from k4calofast.properties import CaloFastSimProperties, refused

_AT_ONCE = 500
"""Events that are worked on together, at most."""

_PROPERTIES = {
    "model": "Model",
    "seed": "Seed",
    "threshold": "HitThreshold",
    "out_of_range": "OutOfRange",
    "provider": "Provider",
    "threads": "Threads",
}
"""Properties of CaloFastSim that have names of their own here."""


def simulate(
    particles: Any = None,
    *,
    pdg: Any = 22,
    momentum: Any = None,
    theta: Any = None,
    phi: Any = 0.0,
    vertex: Any = (0.0, 0.0, 0.0),
    time: Any = 0.0,
    n: int | None = None,
    run: npt.ArrayLike | None = None,
    event: npt.ArrayLike | None = None,
    model: str | PathLike[str] = "besiii_emc/accurate",
    seed: int = 1,
    threshold: float = 0.0,
    out_of_range: Literal["skip", "clamp", "fail", "auto"] = "auto",
    provider: Literal["auto", "cpu", "cuda", "tensorrt"] = "auto",
    threads: int = 1,
    **properties: Any,
) -> Events:
    """Simulate the calorimeter hits of particles.

    The same particles, numbers of events, model and seed give the hits of a `k4run` job, bit for
    bit. All events are in memory together: about 100 bytes for each hit and contribution. The last
    eight models stay loaded, for the next call.

    Parameters
    ----------
    particles
        Particles of events, in place of `pdg`, `momentum` and what follows them:

        - an awkward array of records, a list for each event, or one event's alone; or a dict of
          arrays. Names: pdg; px, py, pz, or pt, phi and eta or theta, or momentum, theta, phi; if
          known, mass or energy, charge, vertex (records of x, y, z, or (..., 3)), time,
          generator_status, parents (lists of indices in the event). EDM4hep's names are known, too;
        - events that `open` or `simulate` returned;
        - a HepMC3 event of pyhepmc, or several;
        - the path of an EDM4hep, HepMC3 or LHE file.
    pdg
        PDG number: one, or one for each event (n,), or lists for each event (n, particles). So are
        the next, and they are broadcast.
    momentum
        GeV.
    theta, phi
        Direction of the momentum at the vertex, rad.
    vertex
        x, y, z in mm: (3,) for all, or (n, 3).
    time
        ns, at the vertex.
    n
        Number of events, where nothing else says it.
    run
        Run number, or one for each event; by default that of the particles, or 1.
    event
        Number of the first event, or one for each; by default those of the particles, or 0, 1, ...
    model
        Name or folder of a model, or of a set of models.
    seed
        With run, event and number of the particle, it decides each shower.
    threshold
        Smallest energy of a hit in a layered calorimeter, in units of what a minimum ionising
        particle leaves in a layer.
    out_of_range
        What to do with particles outside the range of all models for their kind: hand them on
        (``"skip"``), simulate them at the edge of the nearest range (``"clamp"``), or ``"fail"``;
        ``"auto"`` is what a set of models says, and to hand them on if it says nothing.
    provider
        Where to run the model: ``"auto"`` is CUDA if it is there, else the CPU.
    threads
        For the model; results do not depend on them.
    **properties
        Further properties of `CaloFastSim` by their names, such as ``AlternativeStableStatuses``.

    Returns
    -------
    Events
        An awkward array with a record for each event: ``particles`` with their fates, and ``hits``.

    Warns
    -----
    NotSimulatedWarning
        If particles were handed on; ``events.summary()`` says what became of all.

    Raises
    ------
    K4CaloFastError
        If particles make no sense, or the model cannot be used; see `k4calofast.exceptions`.

    Examples
    --------
    >>> import k4calofast
    >>> events = k4calofast.simulate(pdg=22, momentum=1.0, theta=1.2, phi=0.3, n=2)
    >>> events.hits.energy.ndim, len(events)
    (2, 2)
    """
    chosen = _properties(
        properties,
        model=str(model),
        seed=seed,
        threshold=threshold,
        out_of_range=out_of_range,
        provider=provider,
        threads=threads,
    )
    if particles is None:
        if momentum is None or theta is None:
            missing = "momentum (GeV)" if momentum is None else "theta (rad)"
            raise SteeringError(f"simulate needs particles, or their {missing}")
        particles = inputs.shot(pdg, momentum, theta, phi, vertex, time, n)
    elif momentum is not None or theta is not None or n is not None:
        given = "momentum" if momentum is not None else "theta" if theta is not None else "n"
        raise SteeringError(f"particles are given, and {given}, too: which of them?")
    record = inputs.read(particles, run, event)
    simulation = FastSimulation(chosen, _load)
    named = with_output_names(chosen, simulation.regions)
    made, fate, fates = _run(simulation, named, record)
    simulation.finish()
    _warn(simulation.summary)
    waiting = named.OutputNotHandled[0]
    facts = metadata(named, simulation.regions) | {f"{waiting}__{SUBSET_OF}": record.particles.name}
    content = Content(
        record.header.name,
        record.particles.name,
        waiting,
        dict(zip(named.OutputHits, named.OutputContributions, strict=True)),
        metadata={"String": {key: [text] for key, text in facts.items()}},
        options=tuple(
            f'CaloFastSim.{key} = "{getattr(chosen, key)}"\n' for key in type(chosen).model_fields
        ),
    )
    infos = (
        record.header,
        record.particles,
        record.particles.named(waiting, is_subset=True),
        *(CollectionInfo.new(name, SIM_CALORIMETER_HIT) for name in content.hits),
        *(CollectionInfo.new(name, CALO_HIT_CONTRIBUTION) for name in content.hits.values()),
    )
    frames = record.frames.with_fields(made.fields)
    layout = layout_of(frames, infos, content, {named.OutputHits[0]: fates}, fate)
    return events_of(layout, content)


def _properties(others: Mapping[str, Any], **named: Any) -> CaloFastSimProperties:
    names = {**{_PROPERTIES[key]: key for key in named}}
    values = {_PROPERTIES[key]: value for key, value in named.items()}
    for key in others:
        if key not in CaloFastSimProperties.model_fields or key.startswith("Input"):
            raise SteeringError(
                f"simulate has no argument '{key}', nor is it a property that it takes"
            )
        if key in values:
            raise SteeringError(f"simulate has {names[key]} for {key}")
    values |= others
    try:
        return CaloFastSimProperties(**values)
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0])
        raise refused(error, names.get(name, name), values[name]) from error


def _load(folder: Path, provider: str, threads: int, timeout: float) -> Model:
    """Load a model, or return the one that was loaded before from these files."""
    stamps = [(file.name, file.stat()) for file in sorted(folder.iterdir())]
    state = tuple((name, stamp.st_ino, stamp.st_size, stamp.st_mtime_ns) for name, stamp in stamps)
    return _loaded(state, folder, provider, threads, timeout)


@lru_cache(maxsize=8)
def _loaded(
    _state: tuple[Any, ...], folder: Path, provider: str, threads: int, timeout: float
) -> Model:
    return Model(folder, provider, threads, timeout)


def _run(
    simulation: FastSimulation, properties: CaloFastSimProperties, record: inputs.Record
) -> tuple[Frames, Fates, tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
    """Fields of what became of the events, fates of particles, and counts of fates."""
    parts: list[Frames] = []
    fates, counts = [], []
    done = 0
    while done < record.frames.count or not parts:
        some = record.frames.slice(done, min(done + _AT_ONCE, record.frames.count))
        these = read_particles(some, record.particles)
        most = max(simulation.at_once(these), 1)
        if most < some.count:
            some = some.slice(0, most)
            these = read_particles(some, record.particles)
        keys = event_keys(some, record.header.name, done)
        result = simulation.simulate(keys, these)
        fields = output_fields(properties, result, some, record.particles.collection_id)
        parts.append(Frames(fields, some.count))
        fates.append(result.fate)
        counts.append((result.numbers, result.energies))
        done += some.count
    numbers, energies = (np.concatenate(part) for part in zip(*counts, strict=True))
    return Frames.joined(parts), np.concatenate(fates), (numbers.astype(np.int32), energies)


def _warn(summary: RunSummary) -> None:
    """Say which particles were not simulated, and should be."""
    waiting = [
        (fate.meaning.removeprefix("handed on: "), int(number), float(energy))
        for fate, number, energy in zip(FATES, summary.numbers, summary.energies, strict=True)
        if fate.handed_on and number
    ]
    if not waiting:
        return
    number = sum(count for _, count, _ in waiting)
    energy = sum(gev for _, _, gev in waiting)
    reasons = "; ".join(f"{count} {meaning}, {gev:.4g} GeV" for meaning, count, gev in waiting)
    warnings.warn(
        f"{number} of {summary.numbers.sum()} particles, with {energy:.4g} of "
        f"{summary.incoming:.4g} GeV, are not simulated but handed on: {reasons}",
        NotSimulatedWarning,
        stacklevel=3,
    )
