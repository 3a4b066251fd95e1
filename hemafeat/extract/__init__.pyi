from ._family import (
    Column as Column,
    FamilyError as FamilyError,
    families as families,
    family as family,
)
from ._prepared import Prepared as Prepared
