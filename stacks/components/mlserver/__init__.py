"""The `mlserver` model deployer: a model server on this machine, and its supervisor."""
