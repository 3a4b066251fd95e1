"""Classifiers that say how sure they are, and refuse cells that they cannot classify."""
