"""Read parts of images that are too large to be read whole."""
