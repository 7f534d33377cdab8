"""Served models, whatever serves them: one protocol, and an adapter a model deployer."""

from stacks.endpoints.lookup import (
    active_endpoints,
    applied_endpoints,
    deployed_endpoint,
    endpoints_of,
    endpoints_on,
    every_endpoints,
    find_endpoints,
    other_endpoints,
)
from stacks.endpoints.protocol import (
    BundleReference,
    DeploymentError,
    Endpoint,
    Endpoints,
    EndpointState,
    ServedVersion,
    State,
)

__all__ = [
    "BundleReference",
    "DeploymentError",
    "Endpoint",
    "EndpointState",
    "Endpoints",
    "ServedVersion",
    "State",
    "active_endpoints",
    "applied_endpoints",
    "deployed_endpoint",
    "endpoints_of",
    "endpoints_on",
    "every_endpoints",
    "find_endpoints",
    "other_endpoints",
]
