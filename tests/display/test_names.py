"""Particles have the names that are written on blackboards."""

from __future__ import annotations

import pytest

from k4calofast.display.names import latex_of, name_of


@pytest.mark.parametrize(
    ("pdg", "name"),
    [
        (22, "\N{GREEK SMALL LETTER GAMMA}"),
        (11, "e\N{SUPERSCRIPT MINUS}"),
        (-11, "e\N{SUPERSCRIPT PLUS SIGN}"),
        (211, "\N{GREEK SMALL LETTER PI}\N{SUPERSCRIPT PLUS SIGN}"),
        (421, "D\N{SUPERSCRIPT ZERO}"),
        (443, "J/\N{GREEK SMALL LETTER PSI}(1S)"),
        (1000020040, "\N{SUPERSCRIPT FOUR}He"),
        (123456789, "PDG 123456789"),
    ],
)
def test_names_are_unicode(pdg, name):
    assert name_of(pdg) == name


def test_names_for_matplotlib_are_its_own_mathematics():
    assert latex_of(-211) == r"$\pi^{-}$"
    assert latex_of(123456789) == "PDG 123456789"
