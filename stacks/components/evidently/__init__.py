"""The `evidently_modern` data validator.

Traps of Evidently: float32 categories crash its summary. Its share of missing values is per row, not per
cell. Its `TVD` test reseeds NumPy's generator. Its `chisquare` takes the reference for exact.
"""
