"""``gaia policy``: the rules of a project."""
