"""The gate: what has to be shown, whether the evidence shows it, and the decision. Pure."""
