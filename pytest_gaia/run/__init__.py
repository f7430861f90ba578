"""One run: the sandbox it may need, what its tests have exchanged, and its workers."""
