"""Expectations: which failures are known, where, until when, and how they must look. Pure functions of plain values."""
