"""Arrays of events: what `simulate` and `open` return."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import awkward as ak
import numpy as np
import vector

from k4calofast.arrays import owners, ranks
from k4calofast.events.frames import CONFIGURATION, EVENTS, METADATA, OPTIONS, FileInfo, Frames
from k4calofast.events.layout import jagged, numbers, parameters
from k4calofast.events.writing import EventFileWriter
from k4calofast.exceptions import SteeringError, require
from k4calofast.notebook.arrays import EVENTS_RECORD, HITS_RECORD, frames_of
from k4calofast.notebook.content import Content

if TYPE_CHECKING:
    from pandas import DataFrame

_CONTENT = "k4calofast"
"""Attribute of arrays that holds their content."""


class _Points:
    """Records with x, y and z in mm: what `vector` calculates of them."""

    @property
    def position(self) -> Any:
        """The place alone, as a vector of `vector`."""
        parts = {axis: self[axis] for axis in "xyz"}  # type: ignore[index]
        return vector.zip(parts) if isinstance(self, ak.Array) else vector.obj(**parts)

    @property
    def rho(self) -> Any:
        """Distance from the beam axis, mm."""
        return self.position.rho

    @property
    def phi(self) -> Any:
        """Azimuth, rad."""
        return self.position.phi

    @property
    def theta(self) -> Any:
        """Polar angle, rad."""
        return self.position.theta

    @property
    def eta(self) -> Any:
        """Pseudorapidity."""
        return self.position.eta

    @property
    def mag(self) -> Any:
        """Distance from the origin, mm."""
        return self.position.mag


class CaloHits(_Points, ak.Array):  # type: ignore[misc]
    """Hits, or contributions to them; ``hits.position`` is a vector of `vector`."""


class CaloHit(_Points, ak.Record):  # type: ignore[misc]
    """One of them."""


class Events(ak.Array):  # type: ignore[misc]
    """Events as an awkward array, one record per event; slices and masks of it are events, too.

    Fields
    ------
    run, event, weight, weights, time_stamp
        Of the EventHeader.
    particles
        MCParticles, momenta of `vector` (px, py, pz, mass in GeV; also pt, theta, phi, energy):
        pdg, charge, vertex (mm), time (ns at the vertex), generator_status, simulator_status,
        endpoint, momentum_at_endpoint, helicity; parents and daughters are indices in the event.
        Simulated here, also fate: the word for what became of each (`k4calofast.incidence.Fate`).
        not_handled says who waits for another simulation.
    hits
        SimCalorimeterHits of all collections: x, y, z (mm; also rho, phi, theta, eta, mag, and
        position, a vector of `vector`), cellID, energy (GeV), time (ns, of the earliest
        contribution), layer (-1 if the cell ID does not say one), collection, and contributions:
        particle (index in event.particles, -1 if it is not there), pdg, energy, time, x, y, z,
        step_length.
    digits
        CalorimeterHits, if a file has any; also energy_error and type, and no contributions.
    fates
        By collection of hits: numbers and energies (GeV) of particles by fate, in the order of
        `k4calofast.incidence.FATES`.

    Hits of one collection are also found by its name: ``events.EMCBarrelCollection``.
    """

    @property
    def content(self) -> Content:
        """Names of collections, and metadata."""
        found = self.attrs.get(_CONTENT)
        return found if isinstance(found, Content) else Content()

    @property
    def collections(self) -> tuple[str, ...]:
        """Names of the collections of hits."""
        return self.content.collections

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_") and name in self.content.collections:
            return self._of(name)
        return super().__getattr__(name)

    def __getitem__(self, where: Any) -> Any:
        """Return fields, hits of a collection by its name, or some of the events."""
        if isinstance(where, str) and where not in self.fields and where in self.collections:
            return self._of(where)
        return super().__getitem__(where)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self.collections})

    def _of(self, name: str) -> ak.Array:
        hits = self["digits" if name in self.content.digits else "hits"]
        return hits[hits.collection == name]

    def __repr__(self) -> str:
        return f"<Events: {'; '.join(self._said())}>"

    def _repr_mimebundle_(self, **_chosen: Any) -> dict[str, str]:
        return {"text/plain": repr(self)}

    def summary(self) -> str:
        """Say what became of all particles, and what hits there are.

        Every particle is simulated, handed on, lost by the record, or needs no simulation; the
        energies (GeV, rest masses included) add up to what came in.
        """
        from k4calofast.engine.summary import said_of_fates

        lines = []
        fates = self["fates"] if "fates" in self.fields else ak.Array([])
        for name in fates.fields:
            counts = fates[name]
            many, energies = (
                np.sum(ak.to_numpy(counts[part]), axis=0) for part in ("numbers", "energies")
            )
            lines += said_of_fates(len(self), many, energies, float(energies.sum()))
        return "\n".join(lines + self._said()[1 if lines else 0 :])

    def _said(self) -> list[str]:
        lines = [f"{len(self)} events"]
        if "particles" in self.fields:
            lines[0] += f", {int(ak.count(self['particles'].pdg))} particles"
        for name in self.collections:
            energy = self._of(name).energy
            total = float(np.sum(ak.values_astype(energy, np.float64)))
            lines.append(f"{ak.count(energy)} hits in {name}, {total:.6g} GeV")
        return lines

    def to_pandas(self, what: Literal["hits", "contributions", "particles"] = "hits") -> DataFrame:
        """Return a flat table.

        Parameters
        ----------
        what
            ``"hits"``: one row for each, with the particle that has the largest part of it (its
            index in the event, -1 if none is known) and the number of contributions.
            ``"contributions"``: one row for each part that a particle has in a hit.
            ``"particles"``: one row for each.

        Returns
        -------
        pandas.DataFrame
            Its index is the place of the event in this array, and that of the hit or particle in
            the event. Units are GeV, mm and ns.

        Raises
        ------
        MissingExtraError
            If pandas is not installed.
        """
        require("notebook", "to_pandas", "pandas")
        import pandas as pd

        if what not in ("hits", "contributions", "particles"):
            raise SteeringError(
                f"to_pandas makes tables of hits, contributions or particles, not of {what!r}"
            )
        if what == "particles":
            offsets, columns, _ = _flat(self["particles"])
            columns = {name: column for name, column in columns.items() if name not in _RELATIONS}
            rows = [owners(offsets), ranks(offsets)]
            names = ["entry", "particle"]
        else:
            offsets, columns, contributions = _flat(self["hits"])
            rows = [owners(offsets), ranks(offsets)]
            names = ["entry", "hit"]
            parts_of, parts, _ = _flat(contributions)
            if what == "hits":
                columns["particle"] = _largest(parts_of, parts)
                columns["contributions"] = np.diff(parts_of)
            else:
                whose = owners(parts_of)
                rows = [row[whose] for row in rows]
                columns = {
                    name: columns[name][whose] for name in ("cellID", "layer", "collection")
                } | parts
        event = rows[0]
        headers = {name: ak.to_numpy(self[name])[event] for name in ("run", "event")}
        return pd.DataFrame(
            {
                name: pd.Categorical(column) if column.dtype.kind == "U" else column
                for name, column in (headers | columns).items()
            },
            index=pd.MultiIndex.from_arrays(rows, names=names),
        )

    def to_edm4hep(self, path: str | PathLike[str]) -> None:
        """Write the events to an EDM4hep file (RNTuple), as `k4run` does.

        What was simulated here makes the file that a job with `CaloFastSim` makes of the same
        particles, metadata included. Of events that were read, particles, hits, contributions,
        digits and counts of fates are written, and nothing else that their file had. Hits that were
        left out of the array are left out of the file.

        Parameters
        ----------
        path
            The file, replaced if it exists; it has its name only when it is complete.

        Raises
        ------
        OutputError
            If it cannot be written.
        InvalidEventError
            If the events lack something, or hold missing values.
        """
        content = self.content
        frames, infos = frames_of(self, content)
        with EventFileWriter(Path(path), FileInfo.own()) as writer:
            writer.write(EVENTS, frames, infos)
            writer.write(METADATA, Frames(parameters(content.metadata), 1), ())
            if content.options:
                options = parameters({"String": {OPTIONS: [*content.options]}})
                writer.write(CONFIGURATION, Frames(options, 1), ())


_RELATIONS = ("parents", "daughters")


def events_of(layout: Any, content: Content) -> Events:
    """Make an array of records `EVENTS_RECORD`."""
    return Events(layout, attrs={_CONTENT: content})


def _flat(lists: ak.Array) -> tuple[Any, dict[str, Any], ak.Array]:
    """Offsets, columns (vectors as x, y, z of their own) and contributions of lists of records."""
    packed = ak.to_packed(lists).layout
    columns: dict[str, Any] = {}
    contributions = None
    for name in packed.content.fields:
        part = packed.content.content(name)
        if name == "contributions":
            contributions = ak.Array(part)
        elif part.is_record:
            for axis in part.fields:
                columns[f"{name}_{axis}"] = ak.to_numpy(part.content(axis))
        elif part.is_list and part.parameter("__array__") is None:
            columns[name] = part
        else:
            columns[name] = ak.to_numpy(part)
    return np.asarray(packed.offsets.data), columns, contributions


def _largest(offsets: Any, parts: dict[str, Any]) -> Any:
    """Particle with the largest of the contributions of each hit, -1 for hits without."""
    energy = ak.Array(jagged(offsets, numbers(parts["energy"], np.float32)))
    place = ak.to_numpy(ak.fill_none(ak.argmax(energy, axis=1), -1))
    particle = np.full(len(place), -1, np.int32)
    some = place >= 0
    particle[some] = parts["particle"][(offsets[:-1] + place)[some]]
    return particle


ak.behavior["*", EVENTS_RECORD] = Events
ak.behavior["*", HITS_RECORD] = CaloHits
ak.behavior[HITS_RECORD] = CaloHit
