"""Whatever is in a file: a result or one sentence, no warning, bounded memory.

A longer search: ``pytest tests/events/test_fuzz.py --hypothesis-profile fuzz``.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from k4calofast.events.edm4hep import MC_PARTICLE, SIM_CALORIMETER_HIT
from k4calofast.events.reading import EventSource
from k4calofast.events.typed import event_keys, particles, relations, sim_hits
from k4calofast.exceptions import K4CaloFastError

INPUT = Path(__file__).resolve().parents[2] / "options" / "input"
FILES = {
    "ntuple without checksums of pages": INPUT / "particles.edm4hep.root",
    "ntuple of hits": INPUT / "fullsim.edm4hep.root",
    "ntuple of podio": "jpsi_rhopi.rntuple.edm4hep.root",
    "tree": "jpsi_rhopi.edm4hep.root",
}

AT_MOST = 1 << 30
"""Bytes that reading any of these may need."""


@st.composite
def mutations(draw: st.DrawFn) -> list[tuple[float, bytes]]:
    """Places in a file, as fractions, and what is written there."""
    special = [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x80"]
    content = st.one_of(st.sampled_from(special), st.binary(min_size=1, max_size=8))
    change = st.tuples(st.floats(0, 1, exclude_max=True), content)
    return draw(st.lists(change, min_size=1, max_size=4))


def mutated(content: bytes, changes: list[tuple[float, bytes]]) -> bytes:
    result = bytearray(content)
    for place, change in changes:
        at = int(place * len(content))
        result[at : at + len(change)] = change[: len(content) - at]
    return bytes(result)


def use(file: Path) -> None:
    """Read all there is, as the stages of a job do."""
    source = EventSource([file])
    for frames in source.chunks(0, source.num_events, 100):
        for info in source.infos:
            if info.data_type == "edm4hep::EventHeaderCollection":
                event_keys(frames, info.name, 0)
            elif info.is_subset:
                continue
            elif info.data_type == MC_PARTICLE.collection:
                particles(frames, info)
                relations(frames, info, "parents")
            elif info.data_type == SIM_CALORIMETER_HIT.collection:
                sim_hits(frames, info.name, source.infos)
    for _, _, others in source.other_categories():
        for _ in others:
            pass


@pytest.fixture(scope="module")
def _little_memory() -> Iterator[None]:
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + AT_MOST, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.usefixtures("_little_memory")
@pytest.mark.parametrize("kind", FILES)
@settings(
    max_examples=max(10, settings.default.max_examples // 5),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(changes=mutations())
def test_a_mutated_file_gives_a_result_or_one_sentence(
    kind, changes, edm4hep_file, tmp_path_factory
):
    name = FILES[kind]
    whole = name if isinstance(name, Path) else edm4hep_file(name)
    file = tmp_path_factory.getbasetemp() / "mutated.root"
    file.write_bytes(mutated(whole.read_bytes(), changes))
    error = _error_of(file)
    assert "\n" not in str(error)
    while error is not None:
        assert not isinstance(error, MemoryError)
        error = error.__cause__


def _error_of(file: Path) -> BaseException | None:
    try:
        use(file)
    except K4CaloFastError as error:
        return error
    return None
