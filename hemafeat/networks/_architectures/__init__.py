"""Architectures of the published networks, by name."""
