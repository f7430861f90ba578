"""One run: the sandbox it may need, readiness, what its tests exchanged, and its workers."""
