"""Validating generators of showers in layers."""
