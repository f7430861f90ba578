"""Nothing that a run shows, keeps, sends or leaves behind holds a secret."""
