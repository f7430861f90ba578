"""Deployments and rollbacks of an environment: planned, run service by service, and recorded."""
