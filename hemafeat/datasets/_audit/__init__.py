"""Audit of an image table: what could spoil a comparison made on it."""
