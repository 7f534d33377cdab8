"""What `run.py` does, one file a command; arguments/ declares what may be typed. Heavy imports wait."""
