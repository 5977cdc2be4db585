"""The components as C++ sees them: properties at the start, columns for every event."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from threading import Lock
from typing import Any

import numpy as np
from pydantic import ValidationError

from k4calofast.arrays import Indices
from k4calofast.events.columns import OWN_COLLECTION, Contributions, EventKeys, Hits, Particles
from k4calofast.exceptions import InvalidEventError
from k4calofast.gaudi.collecting import Collector
from k4calofast.gaudi.columns import (
    LISTED,
    Arrays,
    Buffers,
    event_keys,
    hit_arrays,
    particles,
    sim_hits,
    together,
    with_family,
    with_listed,
)
from k4calofast.properties import (
    CaloDigitiserProperties,
    CaloFastSimProperties,
    CaloHitMergerProperties,
    CaloParticleGunProperties,
    Properties,
    refuse_names,
    refused,
)

_S_PER_MS = 1e-3

_OTHERS = OWN_COLLECTION + 1
"""Stands for all other collections, which C++ tells apart."""


class Component(ABC):
    """A component at work. All methods can be called by several threads at once."""

    def outputs(self) -> Mapping[str, Sequence[str]]:
        """Return the names of collections that the properties leave to the component."""
        return {}

    def metadata(self) -> Mapping[str, str]:
        """Return what the metadata of the output say of its collections."""
        return {}

    @abstractmethod
    def execute(self, buffers: Buffers) -> Arrays:
        """Do the work of one event."""

    def finish(self) -> Sequence[str]:
        """Return lines for the end of the run."""
        return []


def create(kind: str, properties: Mapping[str, Any]) -> Component:
    """Create a component.

    Parameters
    ----------
    kind
        Its class, such as ``CaloFastSim``.
    properties
        Values of its properties.

    Raises
    ------
    SteeringError
        If a property has an impossible value; the message names it.
    K4CaloFastError
        If it cannot work with these properties.
    """
    maker, properties_type = COMPONENTS[kind]
    try:
        checked = properties_type(**properties)
    except ValidationError as error:
        name = str(error.errors()[0]["loc"][0])
        raise refused(error, name, properties[name]) from error
    refuse_names(checked)
    return maker(checked)


class CaloFastSim(Component):
    """`k4calofast.engine` for concurrent events.

    Takes ``header``, ``number`` (how many events came before), ``particles``, ``parents.child``
    and ``parents.parent`` (indices), and perhaps ``seed`` and ``listed`` (indices of the particles
    that are meant); returns ``hits`` and ``contributions`` of ``region0`` and so on, ``notHandled``
    (indices of particles), ``simulatorStatus`` (of all particles, flagged),
    ``fateNumbers`` and ``fateEnergies``.
    """

    def __init__(self, properties: CaloFastSimProperties) -> None:
        from k4calofast.engine import FastSimulation
        from k4calofast.engine.outputs import with_output_names

        self._simulation = FastSimulation(properties)
        self._p = with_output_names(properties, self._simulation.regions)
        self._of_subset = False
        self._collector = Collector(
            self._simulate, properties.CollectEvents, properties.CollectTime * _S_PER_MS
        )

    def outputs(self) -> Mapping[str, Sequence[str]]:
        return {key: getattr(self._p, key) for key in ("OutputHits", "OutputContributions")}

    def metadata(self) -> Mapping[str, str]:
        from k4calofast.engine.outputs import metadata

        return metadata(self._p, self._simulation.regions)

    def execute(self, buffers: Buffers) -> Arrays:
        keys = event_keys(buffers, self._p.InputEventHeader[0])
        # The input of a component is a subset in all events, or in none.
        self._of_subset = LISTED in buffers
        record = with_family(particles(buffers), buffers)
        return self._collector.submit((keys, with_listed(record, buffers)))

    def _simulate(self, events: Sequence[tuple[EventKeys, Particles]]) -> Sequence[Arrays]:
        keys, these = together(events)
        result = self._simulation.simulate(keys, these, of_subset=self._of_subset)
        starts = result.not_handled_offsets
        # Flags are for copies of the particles.
        status = these.simulator_status
        if self._p.OutputMCParticles:
            status = result.flagged(status)
        return [
            {
                **{
                    name: column
                    for number, hits in enumerate(result.regions)
                    for name, column in hit_arrays(f"region{number}", *hits, event).items()
                },
                "fateNumbers": result.numbers[event].astype(np.int32),
                "fateEnergies": result.energies[event],
                "notHandled": result.not_handled[starts[event] : starts[event + 1]],
                "simulatorStatus": status[these.offsets[event] : these.offsets[event + 1]],
            }
            for event in range(len(events))
        ]

    def finish(self) -> Sequence[str]:
        lines, summary = self._simulation.finish(), self._simulation.summary
        engine = 1e3 * sum(summary.seconds.values()) / max(summary.events, 1)
        return [*lines, f"{engine:.4f} ms per event in the engine"]


class CaloParticleGun(Component):
    """`k4calofast.particle_gun`, event by event.

    Takes ``number`` (how many events came before); returns ``header`` and ``particles``.
    """

    def __init__(self, properties: CaloParticleGunProperties) -> None:
        from k4calofast.particle_gun import ParticleGun

        self._p = properties
        self._gun = ParticleGun(properties)

    def execute(self, buffers: Buffers) -> Arrays:
        event = np.array(buffers["number"], np.uint64) + np.uint64(self._p.FirstEvent)
        return {
            "header.run": np.full(1, self._p.Run, np.uint32),
            "header.event": event,
            **{f"particles.{name}": column for name, column in self._gun.shoot(event).items()},
        }


class CaloHitMerger(Component):
    """`k4calofast.hits.merging`, event by event.

    Takes ``number`` (how many events came before), ``particles``, ``parents.child`` and
    ``parents.parent`` (indices), ``notHandled``, ``fast`` and ``full`` hits, and ``others``: the
    particles of other collections that these point to, with ``others.index`` in theirs. Where hits
    and ``notHandled`` point to them, they are counted after ``particles``. Returns ``hits`` and
    ``contributions`` of ``merged``, which count in the same way.
    """

    def __init__(self, properties: CaloHitMergerProperties) -> None:
        from k4calofast.hits.merging import Merger

        self._p = properties
        self._merger = Merger(properties)
        self._one_at_a_time = Lock()

    def execute(self, buffers: Buffers) -> Arrays:
        number = int(np.array(buffers["number"])[0])
        these, others = particles(buffers), particles(buffers, "others")
        index = np.array(buffers["others.index"], np.int64)
        copied = others.copied_in(these, index)
        # The last entry is for -1: no particle.
        ours = np.concatenate([np.arange(len(these)), np.where(copied, index, -1), [-1]])
        not_handled = ours[np.array(buffers["notHandled"], np.int64)]
        if (not_handled < 0).any():
            raise InvalidEventError(
                f"event entry {number}: '{self._p.InputNotHandled[0]}' holds particles that are "
                f"not in '{self._p.InputMCParticles[0]}'"
            )
        child = np.array(buffers["parents.child"], np.int64)
        parent = np.array(buffers["parents.parent"], np.int64)
        fast, full = (_known(ours, *sim_hits(buffers, name)) for name in ("fast", "full"))
        with self._one_at_a_time:
            merged = self._merger.merge(
                these, (child, parent), not_handled, fast, full, lambda _: f"event entry {number}"
            )
        return hit_arrays("merged", *merged)

    def finish(self) -> Sequence[str]:
        return self._merger.lines()


def _known(ours: Indices, hits: Hits, contributions: Contributions) -> tuple[Hits, Contributions]:
    """Contributions of copies become those of the particle, those of others stay theirs.

    Parameters
    ----------
    ours
        Index of each particle that can be pointed to, -1 where it is not ours.
    """
    own = ours[contributions.particle]
    strange = (own < 0) & (contributions.particle >= 0)
    return hits, replace(
        contributions,
        particle=np.where(strange, contributions.particle, own).astype(np.int32),
        collection=np.where(strange, _OTHERS, OWN_COLLECTION).astype(np.uint32),
    )


class CaloDigitiser(Component):
    """`k4calofast.hits.digitisation`, event by event.

    Takes ``header``, ``number``, hits of ``sim0`` and so on, and perhaps ``seed``; returns
    ``digits0`` and so on.
    """

    def __init__(self, properties: CaloDigitiserProperties) -> None:
        from k4calofast.hits.digitisation import Digitiser

        self._p = properties
        self._digitiser = Digitiser(properties)
        self._one_at_a_time = Lock()

    def execute(self, buffers: Buffers) -> Arrays:
        keys = event_keys(buffers, self._p.InputEventHeader[0])
        hits = [sim_hits(buffers, f"sim{number}") for number in range(len(self._p.InputHits))]
        with self._one_at_a_time:
            digitised = self._digitiser.digitise(keys, hits)
        return {
            f"digits{number}.{name}": column
            for number, digits in enumerate(digitised)
            for name, column in ({"hit": digits.hit} | digits.members).items()
        }

    def finish(self) -> Sequence[str]:
        return self._digitiser.lines()


COMPONENTS: dict[str, tuple[Callable[[Any], Component], type[Properties]]] = {
    "CaloFastSim": (CaloFastSim, CaloFastSimProperties),
    "CaloHitMerger": (CaloHitMerger, CaloHitMergerProperties),
    "CaloDigitiser": (CaloDigitiser, CaloDigitiserProperties),
    "CaloParticleGun": (CaloParticleGun, CaloParticleGunProperties),
}
"""All components, and what can be set of them."""
