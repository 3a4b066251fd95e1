from ._read import (
    EXTENSIONS as EXTENSIONS,
    MAX_PIXELS as MAX_PIXELS,
    ImageError as ImageError,
    is_uri as is_uri,
    name_of as name_of,
    path_of as path_of,
    read as read,
    read_labels as read_labels,
)
from ._stain import (
    NORMALISERS as NORMALISERS,
    GreyWorld as GreyWorld,
    Macenko as Macenko,
    Reinhard as Reinhard,
    normaliser as normaliser,
)
