"""EDM4hep files to typed columns and back, with nothing but uproot."""
