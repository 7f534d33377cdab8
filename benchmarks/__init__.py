"""What is measured, and the evidence for what docs/benchmarks.md says: `python -m benchmarks --help`."""
