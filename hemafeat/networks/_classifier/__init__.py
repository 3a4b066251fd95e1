"""Training of networks that classify images of cells, and heat maps of their predictions."""
