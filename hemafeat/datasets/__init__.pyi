from ._audit.audit import Audit as Audit, audit as audit, near_duplicates as near_duplicates
from ._catalogue import catalogue as catalogue
from ._copies.duplicates import duplicates as duplicates, group_duplicates as group_duplicates
from ._copies.survey import survey as survey
from ._download.download import download as download
from ._drawn.any_field import draw_any_field as draw_any_field
from ._drawn.cell_types import KINDS as KINDS
from ._drawn.cohort import drawn_cohort as drawn_cohort
from ._drawn.cohort_cells import drawn_bags as drawn_bags
from ._drawn.dataset import drawn as drawn
from ._drawn.field import (
    DrawnCell as DrawnCell,
    DrawnField as DrawnField,
    draw_cell as draw_cell,
    draw_field as draw_field,
)
from ._drawn.layouts import drawn_set as drawn_set
from ._drawn.stain import BACKGROUNDS as BACKGROUNDS, Light as Light, Stain as Stain
from ._edits import edited as edited
from ._harmonise import (
    LABEL_MAPS as LABEL_MAPS,
    harmonise as harmonise,
    label_map as label_map,
)
from ._loaders.all_idb import (
    all_idb1 as all_idb1,
    all_idb1_blasts as all_idb1_blasts,
    all_idb2 as all_idb2,
)
from ._loaders.aml_hehr import aml_hehr as aml_hehr
from ._loaders.aml_lmu import aml_lmu as aml_lmu
from ._loaders.apl import APL_MERGE as APL_MERGE, apl as apl
from ._loaders.bccd import bccd as bccd, bccd_boxes as bccd_boxes
from ._loaders.bloodmnist import bloodmnist as bloodmnist
from ._loaders.cnmc import cnmc as cnmc
from ._loaders.lisc import lisc as lisc
from ._loaders.lymphocytosis import lymphocytosis as lymphocytosis
from ._loaders.mll23 import mll23 as mll23
from ._loaders.pbc import pbc as pbc
from ._loaders.raabin import raabin as raabin
from ._loaders.segwbc import segwbc as segwbc
from ._merge import Confounding as Confounding, confounding as confounding, merge as merge
from ._pairing import mask_finder as mask_finder, mask_names as mask_names
from ._registry import LOADERS as LOADERS, load as load
from ._scales import scales as scales, with_scale as with_scale
from ._schema import (
    COLUMNS as COLUMNS,
    FILE_COLUMNS as FILE_COLUMNS,
    TRIMAP_CYTOPLASM as TRIMAP_CYTOPLASM,
    TRIMAP_NUCLEUS as TRIMAP_NUCLEUS,
    DatasetError as DatasetError,
    DatasetWarning as DatasetWarning,
)
from ._table import as_table as as_table, from_csv as from_csv, from_folder as from_folder
from ._tiles import tiles as tiles
