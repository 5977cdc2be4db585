"""Models as files of a release: which there are, packed, and fetched by name."""
