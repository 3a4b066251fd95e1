"""What studies of models begin with."""

from __future__ import annotations

from typing import Any

import pandas as pd

from hemafeat.evaluate._setup import BASELINE, Models, Setup, set_up
from hemafeat.evaluate._tables import stamped


def set_up_study(models: Models, table: pd.DataFrame, **options: Any) -> Setup:
    """As `set_up`, with the models that were asked for and no baseline beside them."""
    ready = set_up(models, table, **options)
    ready.models = {name: model for name, model in ready.models.items() if name != BASELINE}
    return ready


def results_of(ready: Setup, results: pd.DataFrame) -> pd.DataFrame:
    """The results with what every row of them says of how they were made."""
    return stamped(results, ready.plan, ready.random_state, ready.mark)
