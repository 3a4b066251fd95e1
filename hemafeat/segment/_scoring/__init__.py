"""Segmenters scored on many images: the truth, the scores and the sheet of the worst cells."""
