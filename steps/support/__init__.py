"""What steps share, and no step: artifacts, the registry, its mirror, tracking."""
