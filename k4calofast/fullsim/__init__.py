"""Showers simulated with Geant4: what generators are trained on and judged by."""
