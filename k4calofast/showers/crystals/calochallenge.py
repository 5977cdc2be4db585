"""Shower samples in the layout of the Fast Calorimeter Simulation Challenge 2022.

Layout (arXiv:2410.21611; github.com/CaloChallenge/homepage): an HDF5 file with the datasets
``incident_energies`` (N, 1) or (N,) and ``showers`` (N, voxels), both in MeV, and an XML file

    <Bins>
      <Bin pid="11" name="electron">
        <Layer id="0" r_edges="0,4.65,9.3" n_bin_alpha="16"/>
        ...
      </Bin>
    </Bins>

with one Bin per kind of particle. A voxel's place in a row of ``showers`` is counted by layer, in
each layer by alpha, and last by r, which runs fastest. A layer with one edge has no voxels.

A window of ours is one layer: its rows are the bins in r, its columns those in alpha. The edges are
counted in cells, 0, 1, 2, ...: they are names of rows, not radii, so what the challenge's programs
say of energies, layers and voxels holds for such a file, and what they say of centres and widths
does not. Beside the two datasets stand ``conditions``, ``cell`` and ``beside`` as in
`k4calofast.showers.crystals.CrystalShowers`, which those programs do not read.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.parsers import expat

import numpy as np
import numpy.typing as npt
from particle import Particle

from k4calofast.arrays import Floats, Floats32
from k4calofast.detector.crystals import CONDITIONS
from k4calofast.exceptions import FileFormatError, OutputError
from k4calofast.output import NewFile
from k4calofast.showers.base import LARGEST, Showers, impossible
from k4calofast.showers.crystals.windows import CrystalShowers
from k4calofast.showers.hdf5 import load_h5py, opened, own_dataset

DATASETS = {"incident_energies", "showers"}
"""What such files have."""

_GEV = 1e-3
"""GeV per MeV."""

_NAMES = {22: "photon", 11: "electron", -11: "positron"}
"""What the challenge calls particles, where it has a name."""

_KNOWN = {"conditions", "cell", "beside"}
"""What such files of this package have beside."""

_CONDITIONS = ", ".join(f"{condition.name} ({condition.unit})" for condition in CONDITIONS)
_LARGEST_BINNING = 2**20
"""Bytes of XML; the challenge's own have 5 kB."""
_VALUES_AT_ONCE = 2**24


@dataclass(frozen=True)
class Binning:
    """The voxels of a sample.

    Attributes
    ----------
    pdg
        PDG number of the particles.
    layers
        (bins in r, bins in alpha) of each layer that has voxels.
    """

    pdg: int
    layers: tuple[tuple[int, int], ...]

    @property
    def voxels(self) -> int:
        """Number of voxels."""
        return sum(r * alpha for r, alpha in self.layers)


def write(
    file: Path,
    binning: Path,
    showers: Showers,
    detector: str | None = None,
    description: str = "",
) -> None:
    """Write showers of one kind of particle; both files have their names only when complete.

    The incident energy is the total energy at the face, from the momentum and the particle's mass.
    Energies are stored in double precision, so that `read` returns the very numbers.

    Parameters
    ----------
    file, binning
        The HDF5 file and the XML file to write.
    detector, description
        Of what calorimeter the showers are, and where they come from: attributes of the file.

    Raises
    ------
    OutputError
        If the showers are not in crystals, none, or of several kinds, or a file cannot be written.
    """
    if not isinstance(showers, CrystalShowers):
        raise OutputError(f"{file}: the layout is for windows of energies; these showers have none")
    kinds = np.unique(showers.pdg).tolist()
    if len(kinds) != 1:
        said = f"of the kinds {kinds}" if kinds else "none at all"
        raise OutputError(f"{file}: showers of one kind of particle are needed, these are {said}")
    rows, columns = showers.energies.shape[1:]
    voxels = showers.energies.transpose(0, 2, 1).reshape(len(showers), rows * columns)
    h5py = load_h5py()
    try:
        energy = np.hypot(showers.momentum, _mass(kinds[0]))
        with (
            NewFile(file) as unfinished,
            NewFile(binning) as unfinished_binning,
            h5py.File(unfinished, "w", locking=False) as out,
        ):
            for name, values, unit, meaning in (
                ("incident_energies", energy[:, None] / _GEV, "MeV", "total energy at the face"),
                ("showers", voxels / np.float64(_GEV), "MeV", "energy deposited in each voxel"),
                ("conditions", showers.conditions, "", _CONDITIONS),
                ("cell", showers.cell, "", "cell that was hit"),
                ("beside", showers.beside, "GeV", "energy deposited in cells outside the window"),
            ):
                column = out.create_dataset(name, data=values, compression="gzip", shuffle=True)
                column.attrs["unit"], column.attrs["description"] = unit, meaning
            out.attrs["detector"] = detector or ""
            out.attrs["description"] = description
            xml = _xml(kinds[0], rows, columns)
            unfinished_binning.write_text(xml, encoding="utf-8")
    except (OSError, RuntimeError) as error:
        # Particles that nobody knows are RuntimeErrors.
        raise OutputError(f"cannot write {file} and {binning}: {error}") from error


def read(file: Path, binning: Path, only_energies: bool = False) -> CrystalShowers:
    """Read a sample, of this package or of anybody.

    All layers must have the same bins. The windows have the bins in r as rows, and as columns
    those in alpha, layer after layer: voxel (layer, alpha, r) is in row r and column
    ``layer * n_alpha + alpha``.

    Parameters
    ----------
    file, binning
        The HDF5 file and the XML file.
    only_energies
        Take a sample without conditions, too. Of its particles nothing is known but the kind and
        the energy, from which the momentum follows. The other conditions are set to 0: in the
        challenge's own samples the voxels stand around each particle's path, so that differences to
        an axis are nothing by definition; but z, too, is 0 and means nothing, and the cell is -1.
        Good for comparing deposits, not for whatever depends on how particles come in.

    Returns
    -------
    Showers
        Energies in GeV, single precision: exactly those that `write` got, otherwise rounded. A
        file that knows nothing of energy beside the voxels has none there.

    Raises
    ------
    FileFormatError
        If a file is missing or unsafe to read, is not such a sample, is empty, does not fit the
        binning, has layers of different bins, lacks conditions without `only_energies`, or holds
        NaN or negative energies.
    """
    bins = read_binning(binning)
    if len(set(bins.layers)) != 1:
        raise FileFormatError(
            f"{binning}: layers with different bins, {_counted(bins.layers)}, make no window"
        )
    with opened(file) as sample:
        incident, deposits = _own(file, sample, binning, bins)
        momentum = _momentum(file, incident[:].reshape(len(deposits)), bins.pdg)
        energies = _energies(file, deposits, bins)
        if _KNOWN & set(sample):
            conditions, cell, beside = _known(file, sample, len(deposits))
        elif only_energies:
            count = len(momentum)
            conditions = np.zeros((count, len(CONDITIONS)))
            conditions[:, 0] = momentum
            cell, beside = np.full(count, -1, np.int32), np.zeros(count, np.float32)
        else:
            raise FileFormatError(
                f"{file}: no dataset 'conditions', so nothing is known of the particles but "
                "their energies, which is too little to train or validate with; files of "
                "`k4calofast convert` have it"
            )
    if not np.isfinite(conditions).all():
        raise FileFormatError(f"{file}: dataset 'conditions' holds NaN")
    _check_energies(file, "beside", beside)
    pdg = np.full(len(energies), bins.pdg, np.int32)
    return CrystalShowers(pdg, cell, _doubles(conditions), energies, beside.astype(np.float32))


def origin(file: Path) -> tuple[str | None, str]:
    """Detector and description of a sample, as far as the file says: None and '' otherwise."""
    with opened(file) as sample:
        said = [sample.attrs.get(name) for name in ("detector", "description")]
    detector, description = (text if isinstance(text, str) else "" for text in said)
    return detector or None, description


def read_binning(file: Path) -> Binning:
    """Read a binning.

    Raises
    ------
    FileFormatError
        If the file is missing, too large, no such XML, or declares types or entities; or if it
        describes several kinds of particles, or no voxels.
    """
    if not file.is_file():
        raise FileFormatError(f"{file}: no such file")
    if file.stat().st_size > _LARGEST_BINNING:
        raise FileFormatError(f"{file}: larger than {_LARGEST_BINNING} bytes, not a binning")
    kinds: list[int] = []
    layers: list[tuple[int, int]] = []

    def declares(name: str, *_: object) -> None:
        raise FileFormatError(
            f"{file}: declares a document type ('{name}'), which a binning does not need and "
            "which is not safe to read"
        )

    def starts(name: str, attributes: dict[str, str]) -> None:
        if name == "Bin":
            kinds.append(int(attributes["pid"]))
        elif name == "Layer":
            edges = np.array([float(edge) for edge in attributes["r_edges"].split(",")])
            if not (np.isfinite(edges).all() and edges[0] >= 0 and (np.diff(edges) > 0).all()):
                raise ValueError("r_edges do not increase from 0 or above")
            alpha = int(attributes["n_bin_alpha"])
            if alpha < 1:
                raise ValueError("n_bin_alpha is not positive")
            layers.append((len(edges) - 1, alpha))

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = declares
    parser.StartElementHandler = starts
    try:
        parser.Parse(file.read_bytes(), True)
    except KeyError as error:
        raise FileFormatError(f"{file}: cannot be read as a binning: no {error}") from error
    except (OSError, expat.ExpatError, LookupError, ValueError) as error:
        said = " ".join(str(error).split())
        raise FileFormatError(f"{file}: cannot be read as a binning: {said}") from error
    if len(kinds) != 1:
        raise FileFormatError(f"{file}: a Bin for one kind of particle is needed, not {len(kinds)}")
    try:
        _mass(kinds[0])
    except RuntimeError:
        # Of classes of the package particle.
        raise FileFormatError(f"{file}: no particle has the number {kinds[0]}") from None
    binning = Binning(kinds[0], tuple(layer for layer in layers if layer[0]))
    if not binning.voxels:
        raise FileFormatError(f"{file}: no layer has voxels")
    return binning


def _xml(pdg: int, rows: int, columns: int) -> str:
    edges = ",".join(str(edge) for edge in range(rows + 1))
    return (
        "<Bins>\n"
        f'   <Bin pid="{pdg}" name="{_NAMES.get(pdg, pdg)}">\n'
        f'      <Layer id="0" r_edges="{edges}" n_bin_alpha="{columns}" />\n'
        "   </Bin>\n"
        "</Bins>\n"
    )


def _mass(pdg: int) -> float:
    """Mass (GeV) of a kind of particle."""
    return float(Particle.from_pdgid(pdg).mass or 0.0) * _GEV


def _own(file: Path, sample: Any, binning: Path, bins: Binning) -> tuple[Any, Any]:
    """The two datasets of the challenge, which fit each other and the binning."""
    incident = own_dataset(file, sample, "incident_energies", 1, 2)
    deposits = own_dataset(file, sample, "showers", 2)
    count = len(deposits)
    if not count:
        raise FileFormatError(f"{file}: dataset 'showers' is empty")
    if incident.shape not in ((count, 1), (count,)):
        raise FileFormatError(
            f"{file}: dataset 'incident_energies' has the shape {incident.shape}, not {(count, 1)}"
        )
    if deposits.shape[1] != bins.voxels:
        raise FileFormatError(
            f"{file}: dataset 'showers' has {deposits.shape[1]} voxels, {binning} has {bins.voxels}"
        )
    return incident, deposits


def _known(
    file: Path, sample: Any, count: int
) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
    """Conditions, cells and energies beside the window, of a sample that `write` wrote."""
    shapes = {"conditions": (count, len(CONDITIONS)), "cell": (count,), "beside": (count,)}
    conditions, cell, beside = (
        own_dataset(file, sample, name, len(shapes[name])) for name in shapes
    )
    for name, found in zip(shapes, (conditions, cell, beside), strict=True):
        if found.shape != shapes[name]:
            raise FileFormatError(
                f"{file}: dataset '{name}' has the shape {found.shape}, not {shapes[name]}"
            )
    if cell.dtype != np.int32:
        raise FileFormatError(f"{file}: dataset 'cell' is {cell.dtype}, not int32")
    if conditions.attrs.get("description") != _CONDITIONS:
        raise FileFormatError(
            f"{file}: dataset 'conditions' does not say that it holds {_CONDITIONS}"
        )
    return conditions[:], cell[:], beside[:]


def _momentum(file: Path, incident: npt.NDArray[Any], pdg: int) -> Floats:
    """(N,) GeV, from the total energies in MeV."""
    energy = _doubles(incident) * _GEV
    mass = _mass(pdg)
    if not ((energy > mass) & (energy <= LARGEST)).all():
        raise FileFormatError(
            f"{file}: dataset 'incident_energies' holds NaN, or energies not above the mass of the "
            f"particle {pdg}, or above {LARGEST:g} GeV"
        )
    momentum: Floats = np.sqrt((energy - mass) * (energy + mass))
    return momentum


def _energies(file: Path, deposits: Any, bins: Binning) -> Floats32:
    """(N, rows, columns) GeV, read piece by piece: files hold double precision."""
    rows, alpha = bins.layers[0]
    count, columns = len(deposits), len(bins.layers) * alpha
    energies = np.empty((count, rows, columns), np.float32)
    step = max(_VALUES_AT_ONCE // bins.voxels, 1)
    for start in range(0, count, step):
        part = deposits[start : start + step].reshape(-1, columns, rows).transpose(0, 2, 1)
        # Division undoes the multiplication of `write` to the last bit of single precision.
        part = _doubles(part) / (1 / _GEV)
        _check_energies(file, "showers", part)
        energies[start : start + step] = part
    return energies


def _check_energies(file: Path, name: str, values: npt.NDArray[Any]) -> None:
    if impossible(values):
        raise FileFormatError(
            f"{file}: dataset '{name}' holds NaN or negative energies, or some above "
            f"{LARGEST:g} GeV"
        )


def _doubles(values: npt.NDArray[Any]) -> Floats:
    """The numbers in double precision; that some are none is for others to say."""
    with np.errstate(invalid="ignore"):
        return values.astype(np.float64)


def _counted(layers: tuple[tuple[int, int], ...]) -> str:
    return ", ".join(f"{r} x {alpha}" for r, alpha in layers) or "none"
