"""What a run shows on the terminal and tells CI."""
