"""The bundle behind BentoML: a service with V2 routes beside BentoML's own (docs/stacks.md)."""
