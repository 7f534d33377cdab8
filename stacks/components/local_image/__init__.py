"""ZenML's `local_docker` orchestrator on an image that is there.

Traps of ZenML's own: an interrupted command leaves its container at work; a step whose container was killed
stays "running"; steps run in group `root`.
"""
