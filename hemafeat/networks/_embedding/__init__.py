"""Embeddings of cells: the values of a layer of a trained network, as features."""
