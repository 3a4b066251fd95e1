from ._check import check as check
from ._page import (
    figure_reruns as figure_reruns,
    overview as overview,
    page as page,
    results_of as results_of,
)
from ._published import published as published
from ._recipe import (
    Recipe as Recipe,
    RecipeError as RecipeError,
    names as names,
    recipe as recipe,
)
from ._run import Rerun as Rerun, run as run
