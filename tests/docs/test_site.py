"""The site is built without warnings, and its pages are complete."""

from __future__ import annotations

from k4calofast.properties import CaloFastSimProperties


def test_reference_is_made_of_the_code(site):
    page = (site / "reference" / "properties.html").read_text()
    for name in CaloFastSimProperties.model_fields:
        assert f">{name}<" in page
