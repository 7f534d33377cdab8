"""The `seldon_core` model deployer: MLServer on Kubernetes, under whichever controller the cluster has."""
