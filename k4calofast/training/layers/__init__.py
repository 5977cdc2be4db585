"""What generators of showers in layers are made of: see `k4calofast.training.layers.family`."""
