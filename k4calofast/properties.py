"""The properties of each component that a steering file can set: names, defaults, meaning.

Defined here once; the embedded runtime, the Gaudi components and the documentation read them
from here. Names follow Gaudi's habit.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from k4calofast.exceptions import SteeringError

Collection = Annotated[list[str], Field(min_length=1, max_length=1)]
"""k4FWCore's functional algorithms take the name of a collection as a list of one."""

Collections = Annotated[list[str], Field(min_length=1)]
"""Names of one collection or more."""


_NAME = re.compile(
    r"(?!GP(Int|Float|Double|String)(Keys|Values)$)(?!.*_objIdx$)[A-Za-z][A-Za-z0-9_]*"
)
"""Names of collections: podio makes C++ names of them, and keeps some fields beside theirs."""


Repeated = Literal["warn", "position", "fail"]
"""What to do with events of a job that share run and event number."""


class Properties(BaseModel):
    """Base of the properties of a component: checked when set."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True, allow_inf_nan=False)


def refused(error: ValidationError, name: str, value: object) -> SteeringError:
    """Say what is wrong with a value of the property of this name."""
    first = error.errors()[0]
    where = "".join(f"[{part}]" for part in first["loc"][1:])
    return SteeringError(f"{name}{where}: {first['msg']} (got {value!r})")


def refuse_names(properties: Properties) -> None:
    """Refuse names of collections that a file cannot hold, or that contradict each other.

    Not where they are set: what contradicts can be set to something else one line later.

    Raises
    ------
    SteeringError
        If a name to write is none, or that of a field that podio makes itself, or if it is that of
        another collection of the same component.
    """
    named: dict[str, str] = {}
    for key in type(properties).model_fields:
        if not key.startswith(("Input", "Output")):
            continue
        for name in getattr(properties, key):
            if key.startswith("Output") and not _NAME.fullmatch(name):
                raise SteeringError(
                    f"{key} {name!a}: a name of a collection has letters, digits and underscores, "
                    "begins with a letter, and is none of podio's own (GPIntKeys, X_objIdx)"
                )
            if key.startswith("Output") and name in named:
                if key == named[name]:
                    raise SteeringError(f"{key} names '{name}' twice; give two names")
                raise SteeringError(f"{key} and {named[name]} are both '{name}'; give two names")
            named[name] = key


class CaloFastSimProperties(Properties):
    """Calorimeter hits of particles, from a trained generator."""

    InputMCParticles: Collection = Field(
        ["MCParticles"],
        description="MCParticles to simulate; of a subset collection, as another component's "
        "OutputNotHandled, those that it lists",
    )
    InputEventHeader: Collection = Field(
        ["EventHeader"], description="EventHeader with the numbers that seed the noise"
    )
    OutputHits: list[str] = Field(
        [],
        description="SimCalorimeterHits to write, one collection for each region, and for each "
        "calorimeter that showers go on into; what is left out has the detectors' usual names, as "
        "EMCBarrelCollection",
    )
    OutputContributions: list[str] = Field(
        [],
        description="their CaloHitContributions; what is left out has the detectors' usual names, "
        "as EMCBarrelCollectionContributions",
    )
    OutputNotHandled: Collection = Field(
        ["MCParticlesNotHandled"],
        description="subset of the MCParticles that still wait for a calorimeter simulation",
    )
    OutputMCParticles: Annotated[list[str], Field(max_length=1)] = Field(
        [],
        description="copy of the MCParticles with the simulated ones flagged 'handled by fast "
        "simulation', for hits and particles not handled to point to; empty is no copy",
    )
    Model: str = Field(
        "besiii_emc/accurate",
        description="folder of the model, or its name or that of a set of models in the package or "
        "in a folder of K4CALOFAST_MODEL_PATH",
    )
    Seed: int = Field(
        1,
        ge=0,
        lt=1 << 64,
        description="seed of the noise, used with run, event and particle number; with "
        "UniqueIDGenSvc in the job, that service seeds each event instead",
    )
    PDG: list[int] = Field(
        [], description="kinds of particles to simulate; empty is all that the model knows"
    )
    OutOfRange: Literal["skip", "clamp", "fail", "auto"] = Field(
        "auto",
        description="what to do with a particle outside the range of all models for its kind: hand "
        "it on, simulate it at the edge of the nearest range, or stop the job; auto is what the "
        "set of models says, and hands it on if it says nothing",
    )
    AlternativeStableStatuses: list[int] = Field(
        [],
        description="generatorStatus of final-state particles, beside 1; as ddsim's property of "
        "this name",
    )
    ChargeAndMass: Literal["mend", "fail"] = Field(
        "mend",
        description="what to do with particles whose charge or mass are 0 or contradict the PDG "
        "number: take those of the number and warn, or stop the job",
    )
    MaxEnergy: float = Field(
        1e6,
        gt=0,
        description="largest momentum or mass of a particle in GeV; more is damage, and stops the "
        "job",
    )
    MaxUnexplained: float = Field(
        1.0,
        ge=0,
        le=1,
        description="largest share of the incoming energy of which the record may not say where it "
        "went; with more, the job fails at its end",
    )
    RepeatedKeys: Repeated = Field(
        "warn",
        description="what to do when events with showers share run and event number, and so their "
        "noise: warn, take an event's place in the job for its number, or stop the job",
    )
    HitThreshold: float = Field(
        0.0,
        ge=0,
        description="smallest energy of a hit, in units of what a minimum ionising particle leaves "
        "in a layer of its region; hits below are left out and counted. In regions without layers, "
        "as crystals, it does nothing, and the job warns",
    )
    OtherKinds: Literal["skip", "fail"] = Field(
        "skip",
        description="what to do with a kind of particle that the model does not simulate: hand "
        "it on, or stop the job",
    )
    Provider: Literal["auto", "cpu", "cuda", "tensorrt"] = Field(
        "auto", description="where to run the model; auto is CUDA if it is there, else the CPU"
    )
    Threads: int = Field(
        1, ge=1, le=1024, description="threads for inference; results do not depend on it"
    )
    InferenceTimeout: float = Field(
        600.0,
        ge=0,
        allow_inf_nan=False,
        description="seconds that one call of the model may take before the job stops; 0 is no "
        "limit",
    )
    BatchSize: int = Field(
        4096,
        ge=1,
        description="showers generated in one go, at most; results do not depend on it",
    )
    CollectEvents: int = Field(
        32,
        ge=1,
        description="events of concurrent slots simulated in one go, at most; results do not "
        "depend on it",
    )
    CollectTime: float = Field(
        1.0,
        ge=0,
        le=1000,
        description="time in ms that an event waits for those of other slots, at most; none "
        "waits where events come one by one",
    )


class CaloHitMergerProperties(Properties):
    """Hits of the fast and of a full simulation become one collection."""

    InputMCParticles: Collection = Field(
        ["MCParticles"],
        description="MCParticles that the merged contributions point to, with those of the fast "
        "simulation flagged; contributions may point to copies of them, such as the particles "
        "without flags. Contributions of other particles are kept and counted",
    )
    InputNotHandled: Collection = Field(
        ["MCParticlesNotHandled"],
        description="subset of them that the fast simulation has handed on: what the full "
        "simulation knows of them and their descendants stays",
    )
    InputFastHits: Collection = Field(
        ["EMCBarrelCollectionFast"], description="SimCalorimeterHits of the fast simulation"
    )
    InputFullHits: Collection = Field(
        ["EMCBarrelCollectionFull"], description="SimCalorimeterHits of the full simulation"
    )
    OutputHits: Collection = Field(
        ["EMCBarrelCollection"], description="merged SimCalorimeterHits to write"
    )
    OutputContributions: Collection = Field(
        ["EMCBarrelCollectionContributions"], description="their CaloHitContributions"
    )
    Overlap: Literal["drop", "keep", "fail"] = Field(
        "drop",
        description="what to do with the full simulation's contributions of particles that the "
        "fast one has simulated, or of descendants that set out from behind the face: leave them "
        "out, keep both, or stop the job",
    )


class CaloDigitiserProperties(Properties):
    """CalorimeterHits as measured from simulated ones; the defaults are BESIII's."""

    InputHits: Collections = Field(
        ["EMCBarrelCollection"],
        description="SimCalorimeterHits to digitise, in any number of collections",
    )
    InputEventHeader: Collection = Field(
        ["EventHeader"], description="EventHeader with the numbers that seed the noise"
    )
    OutputHits: Collections = Field(
        ["EMCBarrelDigis"],
        description="CalorimeterHits to write, a collection for each of InputHits",
    )
    OutputLinks: Collections = Field(
        ["EMCBarrelDigiLinks"],
        description="links from them to the simulated hits, a collection for each of InputHits; "
        "hits of noise alone have none",
    )
    Detectors: list[str] = Field(
        ["BESIII_EMC_barrel"],
        description="calorimeters that have the cells, one for each of InputHits, by name or file; "
        "if empty, only cells with a deposit are known: without one there is no noise, and nothing "
        "can be said of single cells",
    )
    EmptyCells: bool = Field(
        True, description="whether cells without a deposit have noise, too; not without Detectors"
    )
    LightYield: float = Field(
        5000.0, ge=0, description="photoelectrons per MeV; 0 for no fluctuation of the light"
    )
    Noise: float = Field(
        0.255, ge=0, description="electronic noise of a cell in MeV, standard deviation"
    )
    NoiseMean: float = Field(
        0.045,
        description="mean of the noise in MeV in cells without a deposit, where a search for the "
        "peak of a pulse finds the largest of several samples",
    )
    Uniformity: float = Field(
        0.01,
        ge=0,
        description="spread of a cell's response from hit to hit, as a fraction of its energy: "
        "light is not collected alike from all depths of a crystal, and hits do not tell depths",
    )
    Threshold: float = Field(
        0.5, description="smallest signal that is read out, in MeV before calibration"
    )
    TimeResolution: float = Field(
        15.0, ge=0, description="error of a hit's time in ns, standard deviation"
    )
    NoiseTimes: Annotated[list[float], Field(min_length=2, max_length=2)] = Field(
        [-1000.0, 2000.0],
        description="earliest and latest time in ns of hits of noise alone, which are uniform in "
        "between",
    )
    RepeatedKeys: Repeated = Field(
        "warn",
        description="what to do when events share run and event number, and so their noise: warn, "
        "take an event's place in the job for its number, or stop the job",
    )
    Calibration: float = Field(1.0, gt=0, description="factor from signal to energy, of all cells")
    CalibrationFile: str = Field(
        "",
        description="CSV, YAML or JSON with single cells' response, constant and whether they are "
        "dead; see docs/electronics.md",
    )
    DeadCells: list[str] = Field(
        [],
        description="cells that measure nothing: cell IDs, or values of the fields of the "
        "encoding, as 'part=1,theta=20,phi=7'; without phi, all of the ring",
    )
    Seed: int = Field(
        1,
        ge=0,
        lt=1 << 64,
        description="seed of the errors, used with run, event and cell; with UniqueIDGenSvc in "
        "the job, that service seeds each event instead",
    )


class CaloParticleGunProperties(Properties):
    """Single particles shot from a vertex: MCParticles and EventHeader without a generator."""

    OutputMCParticles: Collection = Field(["MCParticles"], description="MCParticles to write")
    OutputEventHeader: Collection = Field(["EventHeader"], description="EventHeader to write")
    PDG: list[int] = Field(
        [22], min_length=1, description="kinds of particles; each particle is one of them"
    )
    ParticlesPerEvent: int = Field(1, ge=1, description="particles in each event")
    MomentumMin: float = Field(0.1, gt=0, description="smallest momentum in GeV")
    MomentumMax: float = Field(1.0, gt=0, description="largest momentum in GeV")
    MomentumLog: bool = Field(
        False, description="draw the logarithm of the momentum uniformly, not the momentum"
    )
    ThetaMin: float = Field(0.0, ge=0, le=180, description="smallest polar angle in degrees")
    ThetaMax: float = Field(180.0, ge=0, le=180, description="largest polar angle in degrees")
    PhiMin: float = Field(0.0, ge=-360, le=360, description="smallest azimuth in degrees")
    PhiMax: float = Field(360.0, ge=-360, le=360, description="largest azimuth in degrees")
    Vertex: Annotated[list[float], Field(min_length=3, max_length=3)] = Field(
        [0.0, 0.0, 0.0], description="mean x, y, z of the vertex in mm"
    )
    VertexSigma: Annotated[list[float], Field(min_length=3, max_length=3)] = Field(
        [0.0, 0.0, 0.0], description="its Gaussian spread in mm"
    )
    Run: int = Field(1, ge=0, lt=1 << 32, description="run number")
    FirstEvent: int = Field(0, ge=0, lt=1 << 63, description="number of the first event")
    Seed: int = Field(1, ge=0, lt=1 << 64, description="seed, used with run and event number")
