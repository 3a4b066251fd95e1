from ._crop import (
    crop_centre as crop_centre,
    crop_square as crop_square,
    square_around as square_around,
)
from ._formats import MAX_PIXELS as MAX_PIXELS, ImageError as ImageError
from ._jitter import StainJitter as StainJitter
from ._large.opening import is_large as is_large, open_slide as open_slide
from ._large.slide import Level as Level, Slide as Slide
from ._names import (
    PROTOCOLS as PROTOCOLS,
    Tile as Tile,
    file_system as file_system,
    is_uri as is_uri,
    name_of as name_of,
    path_of as path_of,
    stem_of as stem_of,
    tile_of as tile_of,
)
from ._normalisers import NORMALISERS as NORMALISERS, normaliser as normaliser
from ._npz import array_shapes as array_shapes
from ._read import (
    EXTENSIONS as EXTENSIONS,
    orientation as orientation,
    read as read,
    read_labels as read_labels,
)
from ._scale import RED_CELL_UM as RED_CELL_UM, Scale as Scale, scale as scale
from ._stain import GreyWorld as GreyWorld, Macenko as Macenko, Reinhard as Reinhard
