from ._attributes import (
    DateFormat as DateFormat,
    PatientAttributes as PatientAttributes,
    date_columns as date_columns,
)
from ._attributes_dates import read_dates as read_dates
from ._attributes_models import (
    PenalisedLogistic as PenalisedLogistic,
    attributes_only as attributes_only,
    date_format_only as date_format_only,
)
from ._bags import Bag as Bag, bags as bags, positive_place as positive_place
from ._bags_images import MILImageClassifier as MILImageClassifier
from ._bags_mil import MILClassifier as MILClassifier
from ._boosted import BoostedTrees as BoostedTrees
from ._catalogue import make as make, names as names, search_space as search_space
from ._columns import FeatureColumns as FeatureColumns
from ._embedding import embedding as embedding, embeddings_of as embeddings_of
from ._ensembles import (
    WeightedVote as WeightedVote,
    average as average,
    stack as stack,
    weighted_vote as weighted_vote,
)
from ._grey import GreyPixels as GreyPixels
from ._grouped_bagging import GroupedBagging as GroupedBagging
from ._inner_folds import GroupedFolds as GroupedFolds
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
from ._neighbourhood import (
    NeighbourhoodCorrection as NeighbourhoodCorrection,
    neighbourhood_correction as neighbourhood_correction,
)
from ._network_classifier import NetworkClassifier as NetworkClassifier
from ._patient_model import PatientModel as PatientModel
from ._patient_models import (
    bag_size_only as bag_size_only,
    cell_vote as cell_vote,
    make_patient as make_patient,
    patient_baseline as patient_baseline,
    patient_names as patient_names,
    patient_table as patient_table,
)
from ._patient_rules import DecisionRule as DecisionRule, PatientStack as PatientStack
from ._patient_table import PatientTable as PatientTable
from ._patient_vote import CellVote as CellVote
from ._patient_words import Fisher as Fisher, Prototypes as Prototypes
from ._scale import ClippedScaler as ClippedScaler
from ._stain_only import BackgroundMeans as BackgroundMeans, stain_only as stain_only
from ._store import load as load, save as save
from ._support_vectors import SupportVectors as SupportVectors
from ._verdict import cell_contributions as cell_contributions
from ._whiten import PartialWhitening as PartialWhitening
