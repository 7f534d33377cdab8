"""ZenML steps, one a file: a few lines that call `accidents/`."""
