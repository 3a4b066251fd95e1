"""Drawn cells, fields and cohorts whose truth is known."""
