"""`k4run` for machines without Key4hep: the dialect of its option files, and an event loop."""

EMBEDDED = "--embedded"
"""What tells `k4run` to run here even if Key4hep's own is there."""
