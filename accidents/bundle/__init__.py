"""The bundle: a trained model as plain files, what proves it, what made it, and what it is held against."""

from accidents.bundle.bundle import HOLDOUT, Bundle, load_bundle, verify, write_bundle

__all__ = ["HOLDOUT", "Bundle", "load_bundle", "verify", "write_bundle"]
