"""Studies of how neural networks train: every point of a sweep times every seed in one compiled call."""
