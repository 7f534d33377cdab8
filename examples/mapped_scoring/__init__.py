"""Scoring by partition with ZenML alone, `step.map`: each partition has a step of its own."""
