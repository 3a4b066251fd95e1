"""Architectures of published networks."""
