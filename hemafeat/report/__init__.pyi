from ._audit.figures import figure_batches as figure_batches, figure_probes as figure_probes
from ._audit.page import audit_page as audit_page
from ._count import count_page as count_page
from ._curves import (
    figure_calibration as figure_calibration,
    figure_precision_recall as figure_precision_recall,
    figure_roc as figure_roc,
)
from ._explore.page import explore as explore
from ._figures import (
    figure_confusion as figure_confusion,
    figure_differences as figure_differences,
    figure_distributions as figure_distributions,
    figure_importance as figure_importance,
    figure_scores as figure_scores,
)
from ._galleries import CellView as CellView, cell as cell
from ._map import figure_map as figure_map
from ._page import page as page
from ._study_figures import (
    figure_class_drop as figure_class_drop,
    figure_leakage as figure_leakage,
    figure_learning_curve as figure_learning_curve,
    figure_resampling as figure_resampling,
)
