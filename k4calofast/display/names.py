"""Names of particles as one writes them, with Greek letters and charges above."""

from __future__ import annotations

import html
import re
from functools import lru_cache

from particle import InvalidParticle, Particle, ParticleNotFound

_ABOVE = str.maketrans("+-0123456789*", "⁺⁻⁰¹²³⁴⁵⁶⁷⁸⁹*")
_BELOW = str.maketrans("0123456789eμτ", "₀₁₂₃₄₅₆₇₈₉ₑμτ")


@lru_cache(maxsize=1000)
def name_of(pdg: int) -> str:
    """Return the name of a kind of particle in Unicode; its number if it has none."""
    try:
        text = html.unescape(Particle.from_pdgid(pdg).html_name)
    except (InvalidParticle, ParticleNotFound):
        return f"PDG {pdg}"
    text = re.sub(r"<SUP>(.*?)</SUP>", lambda part: part[1].translate(_ABOVE), text)
    text = re.sub(r"<SUB>(.*?)</SUB>", lambda part: part[1].translate(_BELOW), text)
    return re.sub(r"<[^>]*>", "", text)


@lru_cache(maxsize=1000)
def latex_of(pdg: int) -> str:
    """Return the same as matplotlib draws it."""
    try:
        return f"${Particle.from_pdgid(pdg).latex_name}$"
    except (InvalidParticle, ParticleNotFound):
        return f"PDG {pdg}"
