from ._compare import compare as compare, compare_patients as compare_patients
from ._comparison import (
    BASELINES as BASELINES,
    Comparison as Comparison,
    PatientComparison as PatientComparison,
    load as load,
)
from ._differential import NOT_SURE as NOT_SURE, differential as differential
from ._probes.probes import Probes as Probes, leak_probes as leak_probes
from ._protocols.protocols import protocol as protocol, protocols as protocols
from ._rows import CompareError as CompareError
from ._studies.class_drop import ClassDrop as ClassDrop, class_drop as class_drop
from ._studies.leakage import Leakage as Leakage, leakage as leakage
from ._studies.learning_curve import (
    LearningCurve as LearningCurve,
    learning_curve as learning_curve,
)
from ._studies.resampling import Resampling as Resampling, resampling as resampling
from ._studies.wrong_labels import suspected_labels as suspected_labels
