"""A Kubernetes cluster: its objects applied and read, its answers and its pods' troubles in words."""
