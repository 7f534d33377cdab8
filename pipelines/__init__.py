"""ZenML pipelines: each reads top to bottom like its description."""
