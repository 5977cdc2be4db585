"""Whole events of BESIII: fast simulation beside Geant4, in all that an analysis sees, and in time.

python benchmarks/whole_events.py OUT --model besiii_emc/fast --jpsi 2000 --bhabha 500

Makes events (`k4calofast.reactions`), runs them through `k4run options/fastsim.py` and through
Geant4, and compares total energy, crystals, clusters, extra clusters, the pi0, and what was handed
on. OUT keeps events and hits: with other models, Geant4 is not run again. Needs the extras
`fullsim` and `validation`.
"""

from __future__ import annotations

import os

# One core for each process, before anything starts threads.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from time import perf_counter, process_time

import numpy as np

import k4calofast
from k4calofast import detector, reactions
from k4calofast.engine import simulation as engine
from k4calofast.events.columns import EventKeys, Particles
from k4calofast.events.edm4hep import (
    CALO_HIT_CONTRIBUTION,
    CELL_ID_ENCODING,
    EVENT_HEADER,
    MC_PARTICLE,
    SIM_CALORIMETER_HIT,
)
from k4calofast.events.fields import header_fields, hit_fields, particle_fields
from k4calofast.events.frames import EVENTS, METADATA, CollectionInfo, FileInfo, Frames
from k4calofast.events.layout import parameters
from k4calofast.events.reading import EventSource
from k4calofast.events.typed import find_collection, particles
from k4calofast.events.writing import EventFileWriter
from k4calofast.incidence import FATES, Record, follow
from k4calofast.properties import CaloDigitiserProperties, CaloFastSimProperties
from k4calofast.steering import loop as event_loop
from k4calofast.steering.algorithms import Job, create
from k4calofast.steering.configurables import IOSvcProperties
from k4calofast.validation.crystals.clusters import AllCrystals
from k4calofast.validation.crystals.whole_events import (
    Truth,
    compare,
    draw,
    handed_on_by_kind,
    read,
)

REPOSITORY = Path(__file__).resolve().parents[1]
NAMES = {"jpsi": "jpsi_rho_pi", "bhabha": "bhabha", "psi2s": "psi2s_pi_pi_jpsi"}
ELECTROMAGNETIC = (22, 11, -11)
EVENTS_AT_ONCE = 100
"""Of Geant4: one process, and one file."""


def crystals() -> AllCrystals:
    """All crystals of BESIII's EMC."""
    return AllCrystals.of(detector.load_crystals("BESIII_EMC_barrel"))


@dataclass(frozen=True)
class Files:
    """Where the events of a reaction are.

    Attributes
    ----------
    folder
        Of all files.
    name
        Of the reaction.
    events
        How many.
    """

    folder: Path
    name: str
    events: int

    @property
    def particles(self) -> Path:
        """MCParticles."""
        return self.folder / f"{self.name}_{self.events}.edm4hep.root"

    def fast(self, model: str) -> Path:
        """With hits of a model or set."""
        return self.folder / f"{self.name}_{self.events}_{model.replace('/', '_')}.edm4hep.root"

    @property
    def full(self) -> list[Path]:
        """With hits of Geant4, part by part."""
        return [
            self.folder / f"{self.name}_{self.events}_geant4_{first}.edm4hep.root"
            for first in range(0, self.events, EVENTS_AT_ONCE)
        ]


def run_fast(files: Files, model: str) -> str:
    """Simulate by the options file; returns what the job said."""
    output = files.fast(model)
    output.unlink(missing_ok=True)
    command = [sys.executable, "-m", "k4calofast.steering.k4run", "--embedded"]
    command += [str(REPOSITORY / "options" / "fastsim.py"), "--IOSvc.Input", str(files.particles)]
    command += ["--IOSvc.Output", str(output), "--CaloFastSim.Model", model]
    command += ["--CaloFastSim.Provider", "cpu"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        sys.exit(done.stderr)
    return done.stdout


def fates(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Number and energy (GeV) of particles of all events, by fate."""
    counts = k4calofast.open(file).fates
    of_job = counts[counts.fields[0]]
    numbers, energies = (np.asarray(of_job[name]).sum(0) for name in ("numbers", "energies"))
    return numbers, energies


def handed_on_by_fate(file: Path) -> dict[str, tuple[int, float]]:
    """Number and energy (GeV) of particles that a job has handed on, by reason."""
    return {
        fate.meaning: (int(number), float(energy))
        for fate, number, energy in zip(FATES, *fates(file), strict=True)
        if fate.handed_on and number
    }


def run_full(files: Files, processes: int, seed: int) -> None:
    """Simulate by Geant4 what is not there yet."""
    missing = [
        (files.particles, first, output, seed)
        for first, output in zip(range(0, files.events, EVENTS_AT_ONCE), files.full, strict=True)
        if not output.exists()
    ]
    # Geant4 can be started once per process.
    with get_context("spawn").Pool(processes, maxtasksperchild=1) as pool:
        for number, output in enumerate(pool.imap_unordered(_fully, missing, 1), start=1):
            print(f"Geant4: {output.name}, {number} of {len(missing)}", flush=True)


def _fully(task: tuple[Path, int, Path, int]) -> Path:
    source_file, first, output, seed = task
    source = EventSource([source_file])
    (frames,) = source.chunks(first, min(first + EVENTS_AT_ONCE, source.num_events), EVENTS_AT_ONCE)
    info = find_collection(source.infos, "MCParticles", MC_PARTICLE.collection)
    found = particles(frames, info)
    hits = geant4(found, seed * 1_000_003 + first)
    keys = EventKeys(
        np.ones(frames.count, np.uint32), first + np.arange(frames.count, dtype=np.uint64)
    )
    header = CollectionInfo.new("EventHeader", EVENT_HEADER)
    infos = [header, info]
    fields = header_fields("EventHeader", keys) | particle_fields(info, found)
    metadata = {}
    for calorimeter in crystals().calorimeters:
        if calorimeter.name not in hits:
            continue
        of_hits = CollectionInfo.new(calorimeter.collection, SIM_CALORIMETER_HIT)
        parts = CollectionInfo.new(f"{of_hits.name}Contributions", CALO_HIT_CONTRIBUTION)
        fields |= hit_fields(of_hits, parts, *hits[calorimeter.name], info.collection_id)
        infos += [of_hits, parts]
        metadata[f"{of_hits.name}__{CELL_ID_ENCODING}"] = [calorimeter.encoding.text]
    with EventFileWriter(output, FileInfo.own()) as writer:
        all_fields = parameters({}, frames.count) | fields
        writer.write(EVENTS, Frames(all_fields, frames.count), tuple(infos))
        writer.write(METADATA, Frames(parameters({"String": metadata}), 1), ())
    return output


def geant4(found: Particles, seed: int) -> dict:
    """Hits and contributions by Geant4, by calorimeter."""
    from k4calofast.fullsim.events import simulate_events

    emc, data = whole_emc()
    return simulate_events(found, data, seed, emc).regions


def whole_emc() -> tuple:
    """What Geant4 builds, and its data; says nothing more on standard output."""
    from k4calofast.fullsim.crystals.emc import WholeEMC
    from k4calofast.fullsim.physics_data import find_or_make

    # Geant4's banners are not part of the tables.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    emc = WholeEMC()
    return emc, find_or_make(emc.elements, hadronic=True)


def only(found: Particles, kinds: tuple[int, ...], others: bool = False) -> Particles:
    """The final particles of some kinds, or of all others, without what they stem from."""
    chosen = (found.generator_status == 1) & (np.isin(found.pdg, kinds) != others)
    rows = np.flatnonzero(chosen)
    counts = np.bincount(found.event_of(rows), minlength=found.n_events)
    columns = {
        name: column[rows]
        for name, column in vars(found).items()
        if name not in ("offsets", "parent", "child")
    }
    return Particles(offsets=np.append(0, np.cumsum(counts)), **columns)


@dataclass(frozen=True)
class Speed:
    """Milliseconds of processor time.

    Attributes
    ----------
    event, parts
        For an event of the whole chain, from file to file; and its parts.
    digitisation
        For an event of `CaloDigitiser` after it.
    fast, full
        By group: for a shower, incidence, inference and hits; for one that enters, Geant4.
    geant4_event
        For an event.
    """

    event: float
    parts: dict[str, float]
    digitisation: float
    fast: dict[str, float]
    full: dict[str, float]
    geant4_event: float

    def lines(self, name: str) -> list[str]:
        """Lines for a person."""
        parts = ", ".join(f"{part} {ms:.3f}" for part, ms in self.parts.items())
        lines = [
            f"{name}: {self.event:.3f} ms per event on one core ({parts}), and "
            f"{self.digitisation:.3f} for CaloDigitiser"
        ]
        if self.full:
            lines.append(
                f"{name}: Geant4 {self.geant4_event:.1f} ms per event, "
                f"{self.geant4_event / self.event:.0f} times the chain"
            )
        for group, ms in self.full.items():
            fast = self.fast.get(group, 0.0)
            ratio = f", {ms / fast:.0f} times {fast:.3f} ms of the fast simulation" if fast else ""
            lines.append(f"{name}, {group}: Geant4 {ms:.2f} ms per particle that enters{ratio}")
        return lines


@dataclass(frozen=True)
class Chain:
    """A job from file to file.

    Attributes
    ----------
    event, parts
        Milliseconds for an event, and what they are of.
    showers
        How many there were.
    """

    event: float
    parts: dict[str, float]
    showers: int


def chain(source: Path, model: str, digitised: tuple[str, ...] = ()) -> Chain:
    """Run a job; some collections of hits are digitised in it."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "out.root")
        algorithms = {
            "fastsim": create("fastsim", CaloFastSimProperties(Model=model, Provider="cpu"), Job())
        }
        if digitised:
            of_hits = {one.collection: one.name for one in crystals().calorimeters}
            properties = CaloDigitiserProperties(
                InputHits=list(digitised),
                OutputHits=[f"{name}Digis" for name in digitised],
                OutputLinks=[f"{name}DigiLinks" for name in digitised],
                Detectors=[of_hits[name] for name in digitised],
            )
            algorithms["digitiser"] = create("digitiser", properties, Job())
        io = IOSvcProperties(Input=[str(source)], Output=str(output))
        loop = event_loop.EventLoop(io, algorithms, -1, {}, [])
        # Parts, too, are processor time: what else the machine does is not counted.
        event_loop.perf_counter = engine.perf_counter = process_time
        began = process_time()
        loop.run()
        total = process_time() - began
        parts = {"reading": loop.timing.reading, **loop.timing.stages}
        parts["writing"] = loop.timing.writing
        parts["other"] = total - sum(parts.values())
        numbers, _ = fates(output)
        showers = sum(
            number for fate, number in zip(FATES, numbers, strict=True) if fate.handled_here
        )
        per_event = 1e3 / loop.num_events
        of_parts = {name: seconds * per_event for name, seconds in parts.items()}
        return Chain(total * per_event, of_parts, int(showers))


def speed(files: Files, model: str, with_geant4: int, seed: int) -> Speed:
    """Time the chain, and Geant4 for some events, electromagnetic showers apart from others."""
    chain(files.particles, model)
    whole_chain = chain(files.particles, model)
    digitised = chain(files.particles, model, k4calofast.open(files.fast(model)).collections)
    source = EventSource([files.particles])
    (frames,) = source.chunks(0, files.events, files.events)
    found = particles(frames, find_collection(source.infos, "MCParticles", MC_PARTICLE.collection))
    fast, full, whole = {}, {}, 0.0
    for group, others in (("photons and electrons", False), ("hadrons and muons", True)):
        some = only(found, ELECTROMAGNETIC, others)
        if not len(some):
            continue
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "some.edm4hep.root")
            reactions.write(file, some)
            of_group = chain(file, model)
        if of_group.showers:
            ms = sum(of_group.parts[part] for part in ("incidence", "inference", "hits"))
            fast[group] = ms * files.events / of_group.showers
        if with_geant4:
            few = first_events(some, with_geant4)
            with get_context("spawn").Pool(1) as pool:
                seconds, showers = pool.apply(_timed, (few, seed))
            if showers:
                full[group] = 1e3 * seconds / showers
                whole += 1e3 * seconds / with_geant4
    more = digitised.event - whole_chain.event
    return Speed(whole_chain.event, whole_chain.parts, more, fast, full, whole)


def first_events(found: Particles, count: int) -> Particles:
    """The first events of some, without relations."""
    last = int(found.offsets[count])
    columns = {
        name: column[:last]
        for name, column in vars(found).items()
        if name not in ("offsets", "parent", "child")
    }
    return Particles(offsets=found.offsets[: count + 1], **columns)


def _timed(found: Particles, seed: int) -> tuple[float, int]:
    """Seconds of Geant4 without its start, and the number of particles that entered.

    Times of deposits are not asked for: Geant4 would call Python at every step.
    """
    from k4calofast.fullsim.crystals.emc import in_front
    from k4calofast.fullsim.simulation import HADRONIC, EnergyPerCell, Simulation

    emc, data = whole_emc()
    simulation = Simulation(emc, data, seed, EnergyPerCell(), HADRONIC)
    entering, _ = follow(Record(found, *emc.calorimeters))
    seconds, showers = 0.0, 0
    for calorimeter, part in zip(emc.calorimeters, entering, strict=True):
        pdg = found.pdg[part.particle]
        start, _ = in_front(calorimeter, part.cell, part.position, part.momentum)
        # The first shower waits for the physics to be initialised.
        simulation.run(pdg[:1], start[:1], part.momentum[:1])
        began = process_time()
        simulation.run(pdg, start, part.momentum)
        seconds += process_time() - began
        showers += len(pdg)
    return seconds, showers


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="where events, hits and the report are kept")
    parser.add_argument("--model", default="besiii_emc/fast", help="model or set")
    for option, name in NAMES.items():
        parser.add_argument(f"--{option}", type=int, default=0, metavar="EVENTS", help=name)
    parser.add_argument("--processes", type=int, default=1, help="of Geant4")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-geant4", action="store_true", help="only what is there already")
    parser.add_argument(
        "--timed", type=int, default=0, metavar="EVENTS", help="of Geant4, for its speed"
    )
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    report: dict[str, object] = {"model": options.model}
    text = [f"# Whole events: {options.model} beside Geant4"]
    for option, name in NAMES.items():
        if not (events := getattr(options, option)):
            continue
        files = Files(options.folder, name, events)
        if not files.particles.exists():
            reactions.write(files.particles, reactions.REACTIONS[name](events, options.seed))
        began = perf_counter()
        said = run_fast(files, options.model)
        print(said)
        print(f"{name}: {perf_counter() - began:.1f} s for {events} events, start included\n")
        if not options.no_geant4:
            run_full(files, options.processes, options.seed)
        there = [file for file in files.full if file.exists()]
        all_crystals = crystals()
        found, fast, handed_on = read(
            [files.fast(options.model)], all_crystals, "MCParticlesNotHandled"
        )
        truth = Truth.of(found, all_crystals)
        text += ["", f"## {name}, {events} events", ""]
        data: dict[str, object] = {"events": events}
        if len(there) == len(files.full):
            _, full, _ = read(there, all_crystals)
            compared = compare(truth, full, fast)
            text += [compared.markdown(), ""]
            data["figures"] = compared.data()
            picture = options.folder / f"{name}_{options.model.replace('/', '_')}.png"
            picture.write_bytes(draw(compared, f"{name}: {options.model}"))
        kinds = handed_on_by_kind(handed_on, found, truth)
        reasons = handed_on_by_fate(files.fast(options.model))
        text += ["Handed on:", "", "| why | particles | GeV |", "|---|---|---|"]
        text += [f"| {why} | {n} | {e:.4g} |" for why, (n, e) in reasons.items()]
        text += [
            "",
            "| PDG | particles | GeV | that enter a crystal | GeV |",
            "|---|---|---|---|---|",
        ]
        text += [
            f"| {pdg} | {n} | {e:.4g} | {entering} | {gev:.4g} |"
            for pdg, (n, e, entering, gev) in kinds.items()
        ]
        data["handed_on"] = {"reasons": reasons, "kinds": kinds}
        timed = speed(files, options.model, min(options.timed, events), options.seed)
        text += ["", *timed.lines(name)]
        data["speed"] = vars(timed)
        report[name] = data
    written = options.folder / f"report_{options.model.replace('/', '_')}"
    written.with_suffix(".md").write_text("\n".join(text) + "\n")
    written.with_suffix(".json").write_text(json.dumps(report, indent=1))
    print("\n".join(text))


if __name__ == "__main__":
    main()
