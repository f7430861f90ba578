"""Deployments and rollbacks of an environment: planned, carried out service by service, and written down."""
