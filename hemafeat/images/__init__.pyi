from ._crop import (
    crop_centre as crop_centre,
    crop_square as crop_square,
    square_around as square_around,
)
from ._formats import ImageError as ImageError
from ._normalisers import NORMALISERS as NORMALISERS, normaliser as normaliser
from ._npz import array_shapes as array_shapes
from ._read import (
    EXTENSIONS as EXTENSIONS,
    MAX_PIXELS as MAX_PIXELS,
    is_uri as is_uri,
    name_of as name_of,
    orientation as orientation,
    path_of as path_of,
    read as read,
    read_labels as read_labels,
    stem_of as stem_of,
)
from ._stain import GreyWorld as GreyWorld, Macenko as Macenko, Reinhard as Reinhard
