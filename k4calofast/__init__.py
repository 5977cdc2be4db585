"""Calorimeter fast simulation for Key4hep: particles in, calorimeter hits out.

>>> import k4calofast
>>> events = k4calofast.simulate(pdg=22, momentum=1.0, theta=1.2, phi=0.3, n=100)
>>> print(events.hits.energy, events.hits.rho, events.particles.fate)

`simulate` takes particles, `open` reads EDM4hep files; both return awkward arrays of events.
Jobs on files run with ``k4run``; samples, training, validation and models with ``k4calofast``.

Data flow one way, a folder per stage::

    events (particles) -> incidence -> generator -> hits -> events (file)

`k4calofast.engine` is the one place that wires them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

try:
    from k4calofast._version import __version__ as __version__
except ModuleNotFoundError:  # a tree that nothing was built from
    __version__ = "0+unknown"

if TYPE_CHECKING:
    from k4calofast.notebook import open as open  # noqa: A004 - as uproot.open
    from k4calofast.notebook import simulate as simulate

__all__ = ["open", "simulate"]


def __getattr__(name: str) -> Any:
    """Import what few programs need when it is asked for: importing the package takes no time."""
    if name in __all__:
        from k4calofast import notebook

        return getattr(notebook, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
