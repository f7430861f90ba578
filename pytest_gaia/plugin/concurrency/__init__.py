"""Concurrent tests: they are started early, and reported in pytest's order. Imported only if a run is concurrent."""
