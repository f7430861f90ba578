"""Signals, waiting, locks, journals and git."""
