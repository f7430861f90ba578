"""Clients of the platform: HTTP, NATS and PostgreSQL, each guarded against writes that the environment forbids."""
