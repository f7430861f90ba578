"""Collected tests: suites, needs and selection."""
