"""Masks of single cells, laid into label images."""

from __future__ import annotations

from hemafeat._jit import kernel


@kernel
def lay(labels, nuclei, number, mask, nucleus, left, top, least):
    """Give the free pixels of a mask a number, if they are `least` at least.

    Parameters
    ----------
    labels, nuclei : (H, W) ndarray of int32
        Of cells and nuclei; written.
    number : int
    mask, nucleus : (h, w) ndarray of uint8
        Of the cell and its nucleus.
    left, top : int
        Where the corner of the masks lies.
    least : float

    Returns
    -------
    bool
        Whether the cell was laid.
    """
    height, width = mask.shape
    free = 0
    for y in range(height):
        row, inside = labels[top + y, left : left + width], mask[y]
        for x in range(width):
            free += inside[x] > 0 and row[x] == 0
    if free < least:
        return False
    for y in range(height):
        row = labels[top + y, left : left + width]
        nuclei_row = nuclei[top + y, left : left + width]
        inside, deep = mask[y], nucleus[y]
        for x in range(width):
            if inside[x] > 0 and row[x] == 0:
                row[x] = number
                if deep[x] > 0:
                    nuclei_row[x] = number
    return True
