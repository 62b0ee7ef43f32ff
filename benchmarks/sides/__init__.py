"""One module for each side; see `benchmarks.worker` for what they have in common."""
