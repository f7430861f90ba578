"""Commands that operate an environment."""
