"""Audit image tables for anything that could bias a comparison."""
