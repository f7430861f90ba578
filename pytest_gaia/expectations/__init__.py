"""Expectations: known failures, declared in files, and the tests to which they apply."""
