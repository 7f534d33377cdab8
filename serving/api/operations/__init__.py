"""What who runs it needs: keys, metrics, the hook for alerts."""
