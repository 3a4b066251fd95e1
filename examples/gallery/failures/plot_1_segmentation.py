"""
Where outlines go wrong
=======================

Fields as one should not take them, and what the program says about each outline. Red: a suspected
failure.
"""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from hemafeat import datasets, segment

kinds = ["neutrophil", "lymphocyte", "monocyte"]
usual = datasets.Light()
stain = datasets.Stain.preset("white")
DYES = ("azure", "blue", "eosin", "haemoglobin")
dark = {name: 2.5 * np.array(getattr(stain, name)) for name in DYES}
troubles = {
    "as it should be": {},
    "out of focus": {"light": replace(usual, blur_um=1.2)},
    "over-stained": {"stain": replace(stain, **dark)},
    "crowded": {"kinds": 2 * kinds, "neighbours": 1.0, "touching": 1.0},
    "wrong scale": {"um_per_px": 0.4},
    "uneven light": {"light": replace(usual, slope=0.6, vignette=0.3)},
}
said = {}
fig, axes = plt.subplots(2, 3, figsize=(11, 6.6), layout="constrained")
for axis, (trouble, given) in zip(axes.flat, troubles.items(), strict=True):
    given = {"kinds": kinds, "stain": stain, "light": usual, "neighbours": 0.3} | given
    field = datasets.draw_field(shape=(450, 600), random_state=11, **given)
    masks = segment.contours(field.image)
    scores = segment.score(masks, segment.Masks(field.cell, field.nucleus))
    good = int((scores["dice_cell"] > 0.9).sum())
    axis.imshow(segment.outline(field.image, masks))
    suspected = int(masks.quality["suspected_failure"].sum())
    axis.set_title(f"{trouble}\n{good} of {len(scores)} cells right, {suspected} suspected")
    axis.axis("off")
    said[trouble] = "; ".join(sorted(set(masks.quality["failure_reason"]) - {""})) or "nothing"

# %%
# What is said of the outlines. Not every failure is suspected: look at the outlines of images of a
# new source. ``segment.unet`` separates cells that touch better.

pd.set_option("display.max_colwidth", None)
pd.Series(said, name="what the program says").to_frame()
