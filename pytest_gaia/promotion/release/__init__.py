"""What is released together: the release, what it is made of, and whether it still is what it was made of."""
