"""Steps of pipelines: transformers, classifiers and inner folds."""
