"""The C++ components have the properties of `k4calofast.properties`: names, defaults, meaning."""

from __future__ import annotations

from pathlib import Path

from k4calofast import properties
from k4calofast.gaudi.properties_header import KINDS, header

ALGORITHMS = Path(__file__).resolve().parents[2] / "algorithms"


def test_the_committed_header_is_what_the_properties_say():
    assert (ALGORITHMS / "src" / "Properties.h").read_text(encoding="utf-8") == header()


def test_every_component_is_in_the_header_and_has_a_source():
    kinds = {
        kind
        for kind in vars(properties).values()
        if isinstance(kind, type)
        and issubclass(kind, properties.Properties)
        and kind is not properties.Properties
    }
    assert set(KINDS) == kinds
    for kind in kinds:
        name = kind.__name__.removesuffix("Properties")
        source = (ALGORITHMS / "src" / f"{name}.cpp").read_text(encoding="utf-8")
        assert f'DECLARE_COMPONENT_WITH_ID({name}, "{name}")' in source
        assert f"src/{name}.cpp" in (ALGORITHMS / "CMakeLists.txt").read_text(encoding="utf-8")
