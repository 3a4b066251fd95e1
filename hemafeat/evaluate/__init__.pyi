from ._class_drop import ClassDrop as ClassDrop, class_drop as class_drop
from ._compare import compare as compare
from ._comparison import Comparison as Comparison, load as load
from ._leakage import Leakage as Leakage, leakage as leakage
from ._learning import LearningCurve as LearningCurve, learning_curve as learning_curve
from ._patients import (
    PatientComparison as PatientComparison,
    compare_patients as compare_patients,
)
from ._probes import Probes as Probes, leak_probes as leak_probes
from ._protocols import protocol as protocol, protocols as protocols
from ._resampling import Resampling as Resampling, resampling as resampling
from ._splits import CompareError as CompareError
