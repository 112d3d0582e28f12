"""Finding events in the log of what was frozen."""
