from ._all_idb import (
    all_idb1 as all_idb1,
    all_idb1_blasts as all_idb1_blasts,
    all_idb2 as all_idb2,
)
from ._aml_hehr import aml_hehr as aml_hehr
from ._aml_lmu import aml_lmu as aml_lmu
from ._apl import APL_MERGE as APL_MERGE, apl as apl
from ._audit import Audit as Audit, audit as audit, near_duplicates as near_duplicates
from ._bccd import bccd as bccd, bccd_boxes as bccd_boxes
from ._bloodmnist import bloodmnist as bloodmnist
from ._cnmc import cnmc as cnmc
from ._download import download as download
from ._drawn import drawn as drawn
from ._drawn_cohort import drawn_cohort as drawn_cohort
from ._drawn_cohort_cells import drawn_bags as drawn_bags
from ._drawn_field import (
    DrawnCell as DrawnCell,
    DrawnField as DrawnField,
    draw_cell as draw_cell,
    draw_field as draw_field,
)
from ._drawn_stain import BACKGROUNDS as BACKGROUNDS, Light as Light, Stain as Stain
from ._drawn_types import KINDS as KINDS
from ._duplicates import duplicates as duplicates, group_duplicates as group_duplicates
from ._harmonise import (
    LABEL_MAPS as LABEL_MAPS,
    harmonise as harmonise,
    label_map as label_map,
)
from ._lisc import lisc as lisc
from ._loaders import LOADERS as LOADERS, load as load
from ._lymphocytosis import lymphocytosis as lymphocytosis
from ._merge import Confounding as Confounding, confounding as confounding, merge as merge
from ._mll23 import mll23 as mll23
from ._pbc import pbc as pbc
from ._raabin import raabin as raabin
from ._segwbc import segwbc as segwbc
from ._sources import catalogue as catalogue
from ._table import (
    COLUMNS as COLUMNS,
    TRIMAP_CYTOPLASM as TRIMAP_CYTOPLASM,
    TRIMAP_NUCLEUS as TRIMAP_NUCLEUS,
    DatasetError as DatasetError,
    DatasetWarning as DatasetWarning,
    as_table as as_table,
    from_csv as from_csv,
    from_folder as from_folder,
)
