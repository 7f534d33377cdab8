"""From features to a model: split, place encoder, LightGBM, calibration, refit, recalibration."""
