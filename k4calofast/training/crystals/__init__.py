"""Training generators of windows of crystals.

`sample` → `variables` or `normalisation` (what a network sees of a shower) → a family.
"""
