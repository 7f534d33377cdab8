"""ZenML's `local_docker` orchestrator on an image that is there."""
