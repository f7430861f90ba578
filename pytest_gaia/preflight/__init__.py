"""Checks of deploy files before anything is deployed: parity, safety, and the difference of two environments. Pure."""
