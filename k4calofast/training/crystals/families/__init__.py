"""Families of generators of windows: each a module with its settings, networks and losses."""
