"""What was predicted and what became of it: the log, its labels, and the history of monitoring."""
