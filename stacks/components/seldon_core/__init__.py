"""The `seldon_core` model deployer: MLServer on Kubernetes, under whichever controller the cluster has.

Traps of Seldon's Python server: it answers 500 to an unknown route. Its gRPC process ignores SIGTERM. A
worker may outlive a killed gunicorn, for half its timeout (5,000 s by default). Packages without wheels
fetch setuptools outside its lock.
"""
