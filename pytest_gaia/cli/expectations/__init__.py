"""``gaia expectations``: the known failures of a project."""
