from ._masks import MaskError as MaskError, Masks as Masks
