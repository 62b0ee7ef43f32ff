"""What programs run on: devices and their memory, processes, signals, the progress display."""
