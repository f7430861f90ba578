"""Descriptions of platforms: the built-in ones, and the check of any."""
