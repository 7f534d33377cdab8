"""ZenML's `airflow` orchestrator, each step a process of this project."""
