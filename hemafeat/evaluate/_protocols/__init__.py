"""Protocols: divisions of rows into those trained on and those scored."""
