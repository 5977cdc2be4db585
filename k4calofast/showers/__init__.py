"""Single showers as columns: what full simulation makes, training and validation take."""
