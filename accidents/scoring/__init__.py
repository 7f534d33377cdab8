"""Scoring accidents with a bundle: probabilities, reasons, what to ask next, and batches."""
