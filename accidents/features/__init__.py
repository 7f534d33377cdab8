"""Features: what the model is told about an accident, declared once for training and for serving."""

from accidents.features.build import build_features, build_one
from accidents.features.features_by_stage import FEATURES, STAGES, Feature, feature_names, features_of

__all__ = ["FEATURES", "STAGES", "Feature", "build_features", "build_one", "feature_names", "features_of"]
