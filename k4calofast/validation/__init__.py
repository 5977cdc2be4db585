"""Comparing generated showers with full simulation."""
