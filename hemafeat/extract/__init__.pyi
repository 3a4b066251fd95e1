from ._boundary import boundary as boundary
from ._chromatin import chromatin as chromatin
from ._colour import colour as colour
from ._dct import dct as dct, dct_zigzag as dct_zigzag
from ._density import (
    density as density,
    density_natural as density_natural,
    optical_density as optical_density,
)
from ._describe import (
    columns as columns,
    describe as describe,
    feature_columns as feature_columns,
    units as units,
)
from ._family import (
    Column as Column,
    FamilyError as FamilyError,
    families as families,
    family as family,
)
from ._gabor import gabor as gabor
from ._glcm import (
    glcm as glcm,
    glcm_matrix as glcm_matrix,
    glcm_statistics as glcm_statistics,
)
from ._gldm import (
    gldm as gldm,
    gldm_matrix as gldm_matrix,
    gldm_statistics as gldm_statistics,
)
from ._glrlm import (
    glrlm as glrlm,
    glrlm_matrix as glrlm_matrix,
    glrlm_statistics as glrlm_statistics,
)
from ._glszm import (
    glszm as glszm,
    glszm_matrix as glszm_matrix,
    glszm_statistics as glszm_statistics,
)
from ._granules import granules as granules
from ._granulometry import granulometry as granulometry
from ._intensity import intensity as intensity
from ._lbp import lbp as lbp, lbp_codes as lbp_codes
from ._lobes import lobes as lobes
from ._lobulation import lobulation as lobulation
from ._measure import measure as measure
from ._ngtdm import (
    ngtdm as ngtdm,
    ngtdm_matrix as ngtdm_matrix,
    ngtdm_statistics as ngtdm_statistics,
)
from ._prepared import (
    Prepared as Prepared,
    background_white as background_white,
    prepare as prepare,
)
from ._profile import profile as profile
from ._relation import relation as relation
from ._rim import rim as rim
from ._shape import shape as shape
from ._stain import stain as stain
from ._store import errors as errors, load as load, save as save
from ._stream import Extraction as Extraction, stream as stream
from ._table import table as table
from ._tavakoli import tavakoli as tavakoli
from ._transformer import CellFeatures as CellFeatures
from ._zernike import zernike as zernike
