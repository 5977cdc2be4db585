"""What all tests share: the real files, where they are, and the detector."""

from __future__ import annotations

import os

# Each process of `pytest -n` has a core to itself.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# What tests start prints as a user's command does: standard streams keep what they could not print.
os.environ.pop("PYTHONUNBUFFERED", None)

import shutil
import signal
from collections.abc import Callable, Generator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from particle import Particle

from k4calofast.detector import besiii
from k4calofast.detector.crystals import CrystalBarrel
from k4calofast.events.columns import Particles
from k4calofast.events.edm4hep import (
    EDM4HEP_VERSION,
    EVENT_HEADER,
    HELICITY_UNSET,
    MC_PARTICLE,
    PODIO_VERSION,
    definition,
)
from k4calofast.events.frames import EVENTS, METADATA, CollectionInfo, FileInfo, Frames
from k4calofast.events.layout import collection, parameters
from k4calofast.events.writing import EventFileWriter
from k4calofast.particle_gun import ParticleGun
from k4calofast.properties import CaloParticleGunProperties

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell's background job ignores it, and so would all that the tests start and interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    """Put handlers back: commands that tests run in this process end deaf to signals."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        return (yield)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


settings.register_profile("default", deadline=None, max_examples=50)
# For readers of files: pytest tests/events/test_fuzz.py --hypothesis-profile fuzz
settings.register_profile("fuzz", deadline=None, max_examples=3000, print_blob=True)
settings.load_profile("default")

REPOSITORY = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("K4CALOFAST_TEST_DATA", REPOSITORY.parent / "shared" / "data"))


@pytest.fixture(scope="session")
def barrel() -> CrystalBarrel:
    """The BESIII EMC barrel."""
    return besiii.barrel()


@pytest.fixture(scope="session")
def shot() -> Callable[..., Particles]:
    """Shoot photons, electrons and positrons, or what the gun's properties say, for events."""

    def shoot(events: int, **properties) -> Particles:
        chosen = CaloParticleGunProperties(
            **{"PDG": [22, 11, -11], "MomentumMin": 0.2, "MomentumMax": 2.0} | properties
        )
        members = ParticleGun(chosen).shoot(np.arange(events, dtype=np.uint64))
        return Particles(
            offsets=np.arange(events + 1) * chosen.ParticlesPerEvent,
            pdg=members["PDG"],
            generator_status=members["generatorStatus"],
            simulator_status=members["simulatorStatus"],
            charge=members["charge"],
            time=members["time"],
            mass=members["mass"],
            vertex=members["vertex"],
            endpoint=members["endpoint"],
            momentum=members["momentum"],
            momentum_at_endpoint=members["momentumAtEndpoint"],
        )

    return shoot


@pytest.fixture
def edm4hep_records():
    """Path of a record of particles by its name; skips the test where it is absent."""

    def path(name: str) -> Path:
        file = DATA / "records" / name
        if not file.exists():
            pytest.skip(f"{file} is not here (K4CALOFAST_TEST_DATA)")
        return file

    return path


@pytest.fixture(scope="session")
def write_records() -> Callable[..., None]:
    """Write a file of MCParticles as tests/data/records.yaml has them, an event for each record."""

    def write(file: Path, records, charge=None, numbers=None) -> None:
        rows = [particle for record in records for particle in record["particles"]]
        columns = list(zip(*rows, strict=True))
        pdg = np.array(columns[0], np.int32)
        of_kind = [Particle.from_pdgid(one) for one in columns[0]]
        offsets = np.cumsum([0] + [len(record["particles"]) for record in records])
        count, events = len(rows), len(records)
        members = {
            "PDG": pdg,
            "generatorStatus": columns[1],
            "simulatorStatus": [sum(1 << bit for bit in bits) for bits in columns[2]],
            "charge": [kind.charge for kind in of_kind] if charge is None else charge,
            "time": np.zeros(count),
            "mass": [(kind.mass or 0) / 1000 for kind in of_kind],
            "vertex": np.array(columns[3], float),
            "momentum": np.array(columns[4], float),
            "endpoint": np.array(columns[5], float),
            "momentumAtEndpoint": np.array(columns[6], float),
            "helicity": np.full(count, HELICITY_UNSET),
        }
        parents, daughters = [[] for _ in rows], [[] for _ in rows]
        for record, first in zip(records, offsets[:-1], strict=True):
            for parent, child in record.get("family", ()):
                parents[first + child].append(parent)
                daughters[first + parent].append(child)
        info = CollectionInfo.new("MCParticles", MC_PARTICLE)
        header = CollectionInfo.new("EventHeader", EVENT_HEADER)
        relations = {
            name: (
                np.cumsum([0] + [len(each) for each in lists]),
                np.array([one for each in lists for one in each], np.int32),
                info.collection_id,
            )
            for name, lists in (("parents", parents), ("daughters", daughters))
        }
        headers = {
            "eventNumber": np.arange(events) if numbers is None else numbers,
            "runNumber": np.ones(events),
            "timeStamp": np.zeros(events),
            "weight": np.ones(events),
        }
        software = FileInfo(PODIO_VERSION, {"edm4hep": definition()}, {"edm4hep": EDM4HEP_VERSION})
        fields = (
            collection("MCParticles", MC_PARTICLE, offsets, members, relations)
            | collection("EventHeader", EVENT_HEADER, np.arange(events + 1), headers)
            | parameters({}, events)
        )
        with EventFileWriter(file, software) as writer:
            writer.write(EVENTS, Frames(fields, events), (info, header))
            writer.write(METADATA, Frames(parameters({}), 1), ())

    return write


@pytest.fixture
def edm4hep_file():
    """Path of a real EDM4hep file by its name; skips the test where it is absent."""

    def path(name: str) -> Path:
        file = DATA / "edm4hep" / name
        if not file.exists():
            pytest.skip(f"{file} is not here (K4CALOFAST_TEST_DATA)")
        return file

    return path


@pytest.fixture(scope="module")
def chromium():
    """A browser without a window; skips the test where there is none.

    Not for longer than a module: playwright has an event loop, beside which no other can be run.
    """
    playwright = pytest.importorskip("playwright.sync_api")
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no Chromium is here")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


WIDE, NARROW = {"width": 1400, "height": 900}, {"width": 390, "height": 844}
"""Screens of a desk and of a telephone."""

SMALL = {"width": 800, "height": 600}
"""Where it does not matter: what is drawn without a graphics card takes time by its area."""


@pytest.fixture(scope="module")
def opened(chromium):
    """Open pages of this package: they ask no network, and their scripts have no errors."""
    context = chromium.new_context(viewport=SMALL)
    asked, wrong = [], []
    context.on("request", lambda request: asked.append(request.url))

    def heard(message) -> None:
        if message.type == "error":
            wrong.append(message.text)

    def open_(file: Path):
        page = context.new_page()
        page.on("console", heard)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto(file.resolve().as_uri())
        return page

    yield open_
    context.close()
    assert wrong == []
    assert asked
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []


@pytest.fixture(scope="session")
def fits():
    """Make sure that a page fits on screens of a desk and of a telephone: nothing is beside."""

    def check(page) -> None:
        for size in (NARROW, WIDE):
            page.set_viewport_size(size)
            assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
            for box in page.locator("button, select, input, h1, img").all():
                where = box.bounding_box()
                if where is not None and where["width"] > 0:
                    assert where["x"] >= 0
                    assert where["x"] + where["width"] <= size["width"]

    return check
