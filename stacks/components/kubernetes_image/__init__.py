"""ZenML's `kubernetes` orchestrator on an image that is there."""
