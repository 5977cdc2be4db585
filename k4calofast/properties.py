"""The properties of each component that a steering file can set: names, defaults, meaning.

Defined here once; the embedded runtime, the Gaudi components and the documentation read them
from here. Names follow Gaudi's habit.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Collection = Annotated[list[str], Field(min_length=1, max_length=1)]
"""k4FWCore's functional algorithms take the name of a collection as a list of one."""


class Properties(BaseModel):
    """Base of the properties of a component: checked when set."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)


class CaloFastSimProperties(Properties):
    """Calorimeter hits of particles, from a trained generator."""

    InputMCParticles: Collection = Field(["MCParticles"], description="MCParticles to simulate")
    InputEventHeader: Collection = Field(
        ["EventHeader"], description="EventHeader with the numbers that seed the noise"
    )
    OutputHits: Collection = Field(
        ["EMCBarrelCollection"], description="SimCalorimeterHits to write"
    )
    OutputContributions: Collection = Field(
        ["EMCBarrelCollectionContributions"], description="their CaloHitContributions"
    )
    OutputNotHandled: Collection = Field(
        ["MCParticlesNotHandled"],
        description="subset of the MCParticles that still wait for a calorimeter simulation",
    )
    Model: str = Field(
        "besiii_emc_barrel/flow",
        description="folder of the model, or its name in the package or in a folder of "
        "K4CALOFAST_MODEL_PATH",
    )
    Seed: int = Field(
        1,
        ge=0,
        lt=1 << 64,
        description="seed of the noise, used with run, event and particle number",
    )
    OutOfRange: Literal["skip", "clamp", "fail"] = Field(
        "skip",
        description="what to do with a particle outside the model's range: hand it on, simulate "
        "it at the edge of the range, or stop the job",
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
    BatchSize: int = Field(
        4096,
        ge=1,
        description="showers generated in one go, at most; results do not depend on it",
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
