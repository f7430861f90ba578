"""Output of a run for the terminal and CI."""
