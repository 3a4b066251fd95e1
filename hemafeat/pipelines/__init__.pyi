from ._catalogue import (
    make as make,
    make_patient as make_patient,
    names as names,
    patient_names as patient_names,
    search_space as search_space,
)
from ._embedding import (
    describe_embedding as describe_embedding,
    embedding as embedding,
    embeddings_of as embeddings_of,
)
from ._ensembles import (
    GroupedStack as GroupedStack,
    WeightedVote as WeightedVote,
    average as average,
    stack as stack,
    weighted_vote as weighted_vote,
)
from ._explain import explain as explain
from ._fine_tuned import FineTuned as FineTuned, fine_tuned as fine_tuned
from ._inspect import (
    ModelError as ModelError,
    is_transductive as is_transductive,
    looks_at as looks_at,
)
from ._model import Model as Model, PatientModel as PatientModel
from ._models import (
    baseline as baseline,
    grey_pixels as grey_pixels,
    grey_pixels_svc as grey_pixels_svc,
    ldsvm as ldsvm,
    logistic as logistic,
    metadata_only as metadata_only,
    mlp as mlp,
    random_forest as random_forest,
    soft_vote as soft_vote,
    svc as svc,
    xgboost as xgboost,
)
from ._network_classifier import NetworkClassifier as NetworkClassifier
from ._patients.attribute_models import attributes_only as attributes_only
from ._patients.attributes import (
    DateFormat as DateFormat,
    PatientAttributes as PatientAttributes,
    date_columns as date_columns,
)
from ._patients.bags import Bag as Bag, bags as bags, positive_place as positive_place
from ._patients.baselines import (
    BackgroundMeans as BackgroundMeans,
    bag_size_only as bag_size_only,
    date_format_only as date_format_only,
    patient_baseline as patient_baseline,
    patient_baselines as patient_baselines,
    stain_only as stain_only,
)
from ._patients.contributions import cell_contributions as cell_contributions
from ._patients.dates import read_dates as read_dates
from ._patients.encodings import Fisher as Fisher, Prototypes as Prototypes
from ._patients.fusion import DecisionRule as DecisionRule, PatientStack as PatientStack
from ._patients.mil import MILClassifier as MILClassifier
from ._patients.mil_images import MILImageClassifier as MILImageClassifier
from ._patients.models import cell_vote as cell_vote, patient_table as patient_table
from ._patients.table import PatientTable as PatientTable
from ._patients.vote import CellVote as CellVote
from ._search import ValidatedSearch as ValidatedSearch
from ._selective.classifier import SelectiveClassifier as SelectiveClassifier
from ._selective.novelty import ClassNeighbours as ClassNeighbours
from ._softmax_mlp import SoftmaxMLP as SoftmaxMLP
from ._steps.best_of import BestOf as BestOf, LogScale as LogScale
from ._steps.boosted import BoostedTrees as BoostedTrees
from ._steps.columns import FeatureColumns as FeatureColumns
from ._steps.grey import GreyPixels as GreyPixels
from ._steps.grouped_bagging import GroupedBagging as GroupedBagging
from ._steps.inner_folds import GroupedFolds as GroupedFolds
from ._steps.missing import FillMissing as FillMissing
from ._steps.penalised import PenalisedLogistic as PenalisedLogistic
from ._steps.pipeline import CellPipeline as CellPipeline
from ._steps.scale import ClippedScaler as ClippedScaler
from ._steps.support_vectors import SupportVectors as SupportVectors
from ._steps.transductive import (
    Aligned as Aligned,
    NeighbourhoodCorrection as NeighbourhoodCorrection,
    neighbourhood_correction as neighbourhood_correction,
)
from ._steps.whiten import PartialWhitening as PartialWhitening
from ._store import SHIPPED as SHIPPED, load as load, save as save
