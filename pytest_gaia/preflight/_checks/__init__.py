"""The checks: one module a topic, one function a check."""
