"""Protocols: which images are trained on and which are judged."""
