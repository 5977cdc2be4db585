"""`k4run` for machines without Key4hep: the dialect of its option files, and an event loop."""
