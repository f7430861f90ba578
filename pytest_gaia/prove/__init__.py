"""Mutation testing of the suites: faults generated from what they saw, and the share that their tests catch."""
