"""Errors a person can act on: the message names what is wrong, where, and what to do.

`run.py` prints the message alone; anything that is not an `AccidentsError` is a defect.
"""


class AccidentsError(Exception):
    """Base of every error that is the input's or the environment's doing, not ours."""


class SettingsError(AccidentsError):
    """A key or value in params.yaml, configs/, stacks/ or on the command line is wrong."""


class SourceError(AccidentsError):
    """Raw files could not be had: not found, not downloaded, not what was asked for."""


class DataError(AccidentsError):
    """Raw files were had but cannot be read as what they claim to be."""


class BundleError(AccidentsError):
    """A model bundle is incomplete, altered or of another format."""


class BusyError(AccidentsError):
    """Another process is doing it already: nothing is wrong, and nothing is to be done."""

    exit_code = 75  # EX_TEMPFAIL of sysexits.h
