"""Segmentation by thresholds and contours, without learned weights."""
