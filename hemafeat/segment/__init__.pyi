from ._contours import contours as contours
from ._masks import MaskError as MaskError, Masks as Masks
