"""Weights that other libraries have saved: read without them, and given to networks of Keras."""
