"""The checks of test files: one module for each topic, one function for each check."""
