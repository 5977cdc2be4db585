"""Validating generators of showers in windows of crystals."""
