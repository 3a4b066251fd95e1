from ._contours import contours as contours
from ._given import read_masks as read_masks
from ._masks import MaskError as MaskError, Masks as Masks
from ._registry import segmenter as segmenter, segmenters as segmenters
