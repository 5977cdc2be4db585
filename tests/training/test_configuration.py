"""Settings are read or refused in one sentence, whatever is in a file or on the command line."""

from __future__ import annotations

import math
import tempfile
from contextlib import suppress
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from k4calofast.exceptions import TrainingError
from k4calofast.training import configuration
from k4calofast.training.configuration import Settings

NAMES = st.sampled_from(["seed", "threshold", "precision", "epoch", "family", "no such", "<<", ""])
VALUES = st.sampled_from(
    [
        "0",
        "-1",
        "1e400",
        ".nan",
        ".inf",
        "9" * 6000,
        "2020-99-99",
        "!!int x",
        "!!binary x",
        "[" * 90,
    ]
    + [
        "&a [*a]",
        "*b",
        "{a: b}",
        "'\\0'",
        '"\\ud800"',
        "~",
        "32-true",
        "? ?",
        "!!python/name:os.system",
    ]
)


@settings(deadline=None)
@given(
    st.binary(max_size=60)
    | st.lists(st.tuples(NAMES, VALUES), max_size=3).map(
        lambda lines: "\n".join(f"{name}: {value}" for name, value in lines).encode()
    ),
    st.lists(st.tuples(NAMES, VALUES).map("=".join) | st.text(max_size=9), max_size=2),
)
def test_settings_are_read_or_refused(content, assignments):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "settings.yaml"
        file.write_bytes(content)
        with suppress(TrainingError):
            found = configuration.read(None, file, assignments, "gan").settings(Settings)
            assert 0 <= found.threshold < math.inf
