from ._bccd import bccd as bccd, bccd_boxes as bccd_boxes
from ._cnmc import cnmc as cnmc
from ._drawn import drawn as drawn
from ._drawn_field import (
    DrawnCell as DrawnCell,
    DrawnField as DrawnField,
    draw_cell as draw_cell,
    draw_field as draw_field,
)
from ._drawn_stain import BACKGROUNDS as BACKGROUNDS, Light as Light, Stain as Stain
from ._drawn_types import KINDS as KINDS
from ._duplicates import duplicates as duplicates, group_duplicates as group_duplicates
from ._loaders import LOADERS as LOADERS, load as load
from ._pbc import pbc as pbc
from ._segwbc import segwbc as segwbc
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
