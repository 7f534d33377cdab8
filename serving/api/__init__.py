"""The HTTP API that people and programs call: `python -m serving.api`, with requirements/api.txt."""
