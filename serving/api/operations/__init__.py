"""What who runs it needs: keys, metrics, readiness, the hook for alerts."""
