"""Batch scoring: what accidents there are to score, from a raw year or a file with one row an accident."""

from accidents.scoring.batch.inputs import check_input, name_of, read_input, version_of
from accidents.scoring.batch.intake import Intake

__all__ = ["Intake", "check_input", "name_of", "read_input", "version_of"]
