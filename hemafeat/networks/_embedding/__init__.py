"""Embeddings: what a pretrained network computes of a cell, as features."""
