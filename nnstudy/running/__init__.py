"""How many runs are trained: the plan, the programs on the devices, and the host loop."""
