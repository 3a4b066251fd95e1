from . import (
    datasets as datasets,
    evaluate as evaluate,
    extract as extract,
    images as images,
    networks as networks,
    pipelines as pipelines,
    recipes as recipes,
    report as report,
    segment as segment,
    testing as testing,
)

__version__: str
