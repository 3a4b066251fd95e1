from ._bags import Bag as Bag, bags as bags
from ._boosted import BoostedTrees as BoostedTrees
from ._catalogue import make as make, names as names, search_space as search_space
from ._columns import FeatureColumns as FeatureColumns
from ._grey import GreyPixels as GreyPixels
from ._metadata import metadata_only as metadata_only
from ._missing import FillMissing as FillMissing
from ._model import Model as Model, ModelError as ModelError
from ._models import (
    baseline as baseline,
    grey_pixels as grey_pixels,
    ldsvm as ldsvm,
    logistic as logistic,
    random_forest as random_forest,
    soft_vote as soft_vote,
    svc as svc,
    xgboost as xgboost,
)
from ._patient_table import PatientTable as PatientTable
from ._scale import ClippedScaler as ClippedScaler
from ._store import load as load, save as save
from ._support_vectors import SupportVectors as SupportVectors
from ._whiten import PartialWhitening as PartialWhitening
