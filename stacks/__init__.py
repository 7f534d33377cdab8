"""ZenML stacks of this project: one YAML a stack, applied with `stacks.apply.apply_stack`."""
