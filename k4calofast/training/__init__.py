"""Training generators on shower samples, and exporting them (extra `training`).

What all families share is here; `crystals` and `layers` have what is a kind's own (`kinds`). A
`recipe` joins samples, trains a family's stages in one `loop`, and exports it to ONNX with a card.
"""
