"""Where the work on many accidents runs: by partition, on Dask. docs/scaling.md.

Only its inner modules import Dask, and these are imported where `engine: dask` is said.
"""
