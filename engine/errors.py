"""What goes wrong with a cluster."""

from accidents.errors import AccidentsError


class ClusterError(AccidentsError):
    """The cluster is not there, is not ours, or has lost its workers."""
