from ._best import best as best
from ._contours.contours import contours as contours
from ._formats.geojson import write_geojson as write_geojson
from ._kinds import MASK_KINDS as MASK_KINDS
from ._mask_files import (
    MaskWarning as MaskWarning,
    as_masks as as_masks,
    mask_source as mask_source,
    read_masks as read_masks,
)
from ._masks import (
    MaskError as MaskError,
    Masks as Masks,
    check_labels as check_labels,
    misfit as misfit,
)
from ._overlay import outline as outline
from ._registry import SegmenterError as SegmenterError, segmenter as segmenter
from ._scores import (
    boundary_distance as boundary_distance,
    dice as dice,
    failure_detection as failure_detection,
    iou as iou,
    score as score,
)
from ._scoring.images import score_images as score_images
from ._scoring.scores import Scores as Scores
from ._sobel_watershed import sobel_watershed as sobel_watershed
from ._tiles import find_cells as find_cells
from ._unet.scale import (
    UNET_RADIUS as UNET_RADIUS,
    UNET_SIDE as UNET_SIDE,
    UNET_UM_PER_PX as UNET_UM_PER_PX,
    unet_input as unet_input,
)
from ._unet.tiles import UNET_WEIGHTS as UNET_WEIGHTS
from ._unet.unet import unet as unet
from ._write_masks import write_masks as write_masks
