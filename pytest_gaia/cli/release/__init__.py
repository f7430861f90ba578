"""Commands that take a release from environment to environment."""
