"""The `mlserver` model deployer: a model server on this machine, and its supervisor.

Traps of MLServer: `settings.json` overrides `MLSERVER_*`. It is ready without a model. It copies a request
id into a header, so ours is printable ASCII. gRPC has no null, and drops lists from parameters.
"""
