from ._anndata import to_anndata as to_anndata, to_spatialdata as to_spatialdata
from ._columns import (
    columns as columns,
    describe as describe,
    feature_columns as feature_columns,
    units as units,
)
from ._families.boundary import boundary as boundary
from ._families.chromatin import chromatin as chromatin
from ._families.colour import colour as colour
from ._families.dct import dct as dct, dct_zigzag as dct_zigzag
from ._families.density import (
    density as density,
    density_natural as density_natural,
    optical_density as optical_density,
)
from ._families.gabor import gabor as gabor
from ._families.glcm import (
    glcm as glcm,
    glcm_matrix as glcm_matrix,
    glcm_statistics as glcm_statistics,
)
from ._families.gldm import (
    gldm as gldm,
    gldm_matrix as gldm_matrix,
    gldm_statistics as gldm_statistics,
)
from ._families.glrlm import (
    glrlm as glrlm,
    glrlm_matrix as glrlm_matrix,
    glrlm_statistics as glrlm_statistics,
)
from ._families.glszm import (
    glszm as glszm,
    glszm_matrix as glszm_matrix,
    glszm_statistics as glszm_statistics,
)
from ._families.granules import granules as granules
from ._families.granulometry import granulometry as granulometry
from ._families.intensity import intensity as intensity
from ._families.lbp import lbp as lbp, lbp256 as lbp256, lbp_codes as lbp_codes
from ._families.lobes import lobes as lobes
from ._families.lobulation import lobulation as lobulation
from ._families.ngtdm import (
    ngtdm as ngtdm,
    ngtdm_matrix as ngtdm_matrix,
    ngtdm_statistics as ngtdm_statistics,
)
from ._families.profile import profile as profile
from ._families.relation import relation as relation
from ._families.rim import rim as rim
from ._families.shape import shape as shape
from ._families.stain import stain as stain
from ._families.tavakoli import tavakoli as tavakoli
from ._families.zernike import zernike as zernike
from ._family import (
    MASKS as MASKS,
    PLANES as PLANES,
    Column as Column,
    FamilyError as FamilyError,
    families as families,
    family as family,
)
from ._former import (
    FORMULAS as FORMULAS,
    changed_columns as changed_columns,
    current_names as current_names,
    current_units as current_units,
)
from ._measure import central_cell as central_cell, measure as measure
from ._measured import measured as measured
from ._prepared import (
    Prepared as Prepared,
    background_white as background_white,
    prepare as prepare,
)
from ._table.compile import Compiled as Compiled, compile_kernels as compile_kernels
from ._table.errors import (
    ERROR_COLUMNS as ERROR_COLUMNS,
    counts as counts,
    error_row as error_row,
    errors as errors,
    image_name as image_name,
    suspected as suspected,
)
from ._table.result import WHERE as WHERE, is_result as is_result, load as load, save as save
from ._table.stream import Extraction as Extraction, stream as stream
from ._table.table import table as table
from ._transformer import CellFeatures as CellFeatures
