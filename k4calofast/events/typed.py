"""From the fields of frames to the typed columns that the stages work on."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np
import numpy.typing as npt

from k4calofast.events.columns import EventKeys, Floats, Particles
from k4calofast.events.frames import CollectionInfo, Frames
from k4calofast.exceptions import InvalidEventError, MissingCollectionError


def find_collection(infos: tuple[CollectionInfo, ...], name: str, data_type: str) -> CollectionInfo:
    """Return a collection's description.

    Raises
    ------
    MissingCollectionError
        If there is none of this name, or it is of another type, or only a subset.
    """
    for info in infos:
        if info.name == name:
            break
    else:
        same = [info.name for info in infos if info.data_type == data_type]
        hint = f"; of that type there is {', '.join(same)}" if same else ""
        raise MissingCollectionError(f"no collection '{name}' of type {data_type}{hint}")
    if info.data_type != data_type or info.is_subset:
        kind = f"a subset of {info.data_type}" if info.is_subset else info.data_type
        raise MissingCollectionError(f"collection '{name}' is {kind}, not {data_type}")
    return info


def event_keys(frames: Frames, name: str, first: int) -> EventKeys:
    """Read run and event numbers from a collection of EventHeaders.

    Parameters
    ----------
    first
        Number of the first of these frames in the input, for messages.

    Raises
    ------
    InvalidEventError
        If an event does not have exactly one header.
    """
    headers = frames.array(name)
    counts = ak.to_numpy(ak.num(headers, axis=1))
    wrong = np.flatnonzero(counts != 1)
    if wrong.size:
        raise InvalidEventError(
            f"event entry {first + wrong[0]} has {counts[wrong[0]]} EventHeaders in '{name}'; "
            "exactly one is needed"
        )
    flat = headers.layout.to_packed().content
    # Old files hold signed numbers here.
    return EventKeys(
        _column(flat, "runNumber").astype(np.uint32), _column(flat, "eventNumber").astype(np.uint64)
    )


def particles(frames: Frames, name: str) -> Particles:
    """Read a collection of MCParticles, whatever the precision of its members."""
    jagged = frames.array(name).layout.to_packed()
    flat = jagged.content
    return Particles(
        offsets=np.asarray(jagged.offsets.data, np.int64),
        pdg=_column(flat, "PDG").astype(np.int32),
        generator_status=_column(flat, "generatorStatus").astype(np.int32),
        simulator_status=_column(flat, "simulatorStatus").astype(np.int32),
        charge=_column(flat, "charge").astype(np.float64),
        time=_column(flat, "time").astype(np.float64),
        mass=_column(flat, "mass").astype(np.float64),
        vertex=_vectors(flat, "vertex"),
        endpoint=_vectors(flat, "endpoint"),
        momentum=_vectors(flat, "momentum"),
        momentum_at_endpoint=_vectors(flat, "momentumAtEndpoint"),
    )


def _column(flat: Any, member: str) -> npt.NDArray[Any]:
    return np.asarray(flat.content(member).data)


def _vectors(flat: Any, member: str) -> Floats:
    vector = flat.content(member)
    return np.stack([_column(vector, axis) for axis in "xyz"], axis=1).astype(np.float64)
