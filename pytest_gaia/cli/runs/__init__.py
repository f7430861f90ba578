"""Commands that run tests, or what they run against."""
