"""What workers find in their environment, on this machine and in pods."""

# Dask has glibc give all that is freed back to the system at once: a worker then spent a fifth of its time on
# asking for the same memory again. So much may stay; what the environment says of it goes first.
MALLOC = {"MALLOC_TRIM_THRESHOLD_": 64 * 2**20, "MALLOC_MMAP_THRESHOLD_": 16 * 2**20}  # bytes
