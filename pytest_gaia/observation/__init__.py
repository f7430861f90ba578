"""Observe environments: which services respond, what is deployed, and what changes."""
