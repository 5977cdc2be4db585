"""The EDM4hep types that this package writes, and how podio names what is in a file.

Facts of EDM4hep 1.1 (schema 6) and podio 1.7. Types that are only passed on from input to
output are not listed here: their description is read from the input.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np

SCHEMA_VERSION = 6
_LINK_SCHEMA_VERSION = 1
EDM4HEP_VERSION = (1, 1, 0)
PODIO_VERSION = (1, 7, 0)


@dataclass(frozen=True)
class DataType:
    """A type of EDM4hep.

    Attributes
    ----------
    name
        Its name without namespace.
    members
        C++ types of its members by name, in order.
    to_many, to_one
        Its relations, with the type each points at.
    vectors
        Element types of its vector members.
    is_link
        Whether it is one of podio's links, from ``to_one["from"]`` to ``to_one["to"]``.
    """

    name: str
    members: dict[str, str]
    to_many: dict[str, str] = field(default_factory=dict)
    to_one: dict[str, str] = field(default_factory=dict)
    vectors: dict[str, str] = field(default_factory=dict)
    is_link: bool = False

    @property
    def data_record(self) -> str:
        """C++ name of the plain struct that is stored."""
        return "podio::LinkData" if self.is_link else f"edm4hep::{self.name}Data"

    @property
    def struct_version(self) -> int | None:
        """Version of that struct; podio's own have none."""
        return None if self.is_link else SCHEMA_VERSION

    @property
    def collection(self) -> str:
        """C++ name of the collection."""
        if self.is_link:
            return f"podio::LinkCollection<{self.to_one['from']},{self.to_one['to']}>"
        return f"edm4hep::{self.name}Collection"

    @property
    def schema_version(self) -> int:
        """Version that podio writes down for the collection."""
        return _LINK_SCHEMA_VERSION if self.is_link else SCHEMA_VERSION


COMPONENTS: dict[str, dict[str, str]] = {
    "edm4hep::Vector3f": {"x": "float", "y": "float", "z": "float"},
    "edm4hep::Vector3d": {"x": "double", "y": "double", "z": "double"},
    "podio::ObjectID": {"index": "std::int32_t", "collectionID": "std::uint32_t"},
}

DTYPES: dict[str, np.dtype[Any]] = {
    "std::int32_t": np.dtype(np.int32),
    "std::uint32_t": np.dtype(np.uint32),
    "std::uint64_t": np.dtype(np.uint64),
    "float": np.dtype(np.float32),
    "double": np.dtype(np.float64),
}

EVENT_HEADER = DataType(
    "EventHeader",
    {
        "eventNumber": "std::uint64_t",
        "runNumber": "std::uint32_t",
        "timeStamp": "std::uint64_t",
        "weight": "double",
    },
    vectors={"weights": "double"},
)

MC_PARTICLE = DataType(
    "MCParticle",
    {
        "PDG": "std::int32_t",
        "generatorStatus": "std::int32_t",
        "simulatorStatus": "std::int32_t",
        "charge": "float",
        "time": "float",
        "mass": "double",
        "vertex": "edm4hep::Vector3d",
        "endpoint": "edm4hep::Vector3d",
        "momentum": "edm4hep::Vector3d",
        "momentumAtEndpoint": "edm4hep::Vector3d",
        "helicity": "std::int32_t",
    },
    to_many={"parents": "edm4hep::MCParticle", "daughters": "edm4hep::MCParticle"},
)

SIM_CALORIMETER_HIT = DataType(
    "SimCalorimeterHit",
    {"cellID": "std::uint64_t", "energy": "float", "position": "edm4hep::Vector3f"},
    to_many={"contributions": "edm4hep::CaloHitContribution"},
)

CALO_HIT_CONTRIBUTION = DataType(
    "CaloHitContribution",
    {
        "PDG": "std::int32_t",
        "energy": "float",
        "time": "float",
        "stepPosition": "edm4hep::Vector3f",
        "stepLength": "float",
    },
    to_one={"particle": "edm4hep::MCParticle"},
)

CALORIMETER_HIT = DataType(
    "CalorimeterHit",
    {
        "cellID": "std::uint64_t",
        "energy": "float",
        "energyError": "float",
        "time": "float",
        "position": "edm4hep::Vector3f",
        "type": "std::int32_t",
    },
)

CALO_HIT_LINK = DataType(
    "CaloHitSimCaloHitLink",
    {"weight": "float"},
    to_one={"from": "edm4hep::CalorimeterHit", "to": "edm4hep::SimCalorimeterHit"},
    is_link=True,
)

WRITTEN = (
    EVENT_HEADER,
    MC_PARTICLE,
    SIM_CALORIMETER_HIT,
    CALO_HIT_CONTRIBUTION,
    CALORIMETER_HIT,
    CALO_HIT_LINK,
)

HELICITY_UNSET = 9

CELL_ID_ENCODING = "CellIDEncoding"
"""podio's name for the parameter of a collection that says how cell IDs are made."""

FAST_SIMULATED_BIT = 22
OVERLAY_BIT = 23
STOPPED_BIT = 24
LEFT_DETECTOR_BIT = 25
DECAYED_IN_CALORIMETER_BIT = 26
DECAYED_IN_TRACKER_BIT = 27
NOT_PARENTS_ENDPOINT_BIT = 28
BACKSCATTER_BIT = 29
CREATED_IN_SIMULATION_BIT = 30
"""Bits of MCParticle.simulatorStatus."""


def definition() -> str:
    """EDM4hep as podio's JSON, as far as this package writes it: for files it starts itself."""
    datatypes = {
        f"edm4hep::{written.name}": {
            "Members": [f"{cpp} {name}" for name, cpp in written.members.items()],
            "OneToManyRelations": [f"{cpp} {name}" for name, cpp in written.to_many.items()],
            "OneToOneRelations": [f"{cpp} {name}" for name, cpp in written.to_one.items()],
            "VectorMembers": [f"{cpp} {name}" for name, cpp in written.vectors.items()],
        }
        for written in WRITTEN
        if not written.is_link
    }
    links = {
        f"edm4hep::{written.name}": {"From": written.to_one["from"], "To": written.to_one["to"]}
        for written in WRITTEN
        if written.is_link
    }
    components = {
        name: {"Members": [f"{cpp} {member}" for member, cpp in members.items()]}
        for name, members in COMPONENTS.items()
        if name.startswith("edm4hep::")
    }
    return json.dumps(
        {
            "options": {},
            "schema_version": SCHEMA_VERSION,
            "components": components,
            "datatypes": datatypes,
            "links": links,
        }
    )


def collection_id(name: str) -> int:
    """ID that podio gives to a collection of this name: its 32-bit MurmurHash3, seed 0.

    Source: A. Appleby, MurmurHash3_x86_32 (public domain).
    """

    def rotated(x: int, by: int) -> int:
        return ((x << by) | (x >> (32 - by))) & 0xFFFFFFFF

    def scrambled(k: int) -> int:
        return rotated(k * 0xCC9E2D51 & 0xFFFFFFFF, 15) * 0x1B873593 & 0xFFFFFFFF

    data = name.encode()
    whole = len(data) // 4 * 4
    h = 0
    for i in range(0, whole, 4):
        h = rotated(h ^ scrambled(int.from_bytes(data[i : i + 4], "little")), 13)
        h = (h * 5 + 0xE6546B64) & 0xFFFFFFFF
    h ^= scrambled(int.from_bytes(data[whole:], "little")) ^ len(data)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        h = (h ^ (h >> shift)) * factor & 0xFFFFFFFF
    return h ^ (h >> 16)
