"""A version beside the champion, as a canary or a shadow: its share, its report, its probation."""
