"""Results of a run, and the verdict on them."""
