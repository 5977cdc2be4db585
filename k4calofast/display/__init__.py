"""Looking at events and showers: pages in 3D for a browser, and still pictures for slides."""
