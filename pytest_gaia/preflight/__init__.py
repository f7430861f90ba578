"""Checks of deploy files and of test files before anything runs, and the difference of two environments. Pure."""
