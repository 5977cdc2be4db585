"""What the shell proposes for arguments and options: names of what there is."""

from __future__ import annotations


def options_files() -> list[str]:
    """Options files that are installed."""
    from k4calofast.steering import installed

    return list(installed.options_files())


def models(incomplete: str) -> list[str]:
    """Models and sets by name."""
    from k4calofast.steering.completion import models

    return [name for name in models() if name.startswith(incomplete)]


def detectors() -> list[str]:
    """Calorimeters by name."""
    from k4calofast.detector import names

    return list(names())
