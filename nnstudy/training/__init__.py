"""How one run is trained: its parts, and training itself as pure functions."""
