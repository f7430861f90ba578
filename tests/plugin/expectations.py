"""The expectations of the tests of several files."""

from __future__ import annotations

SHADOWED = """
reason = "the route is shadowed"
issue = "GAIA-1"
owner = "@models"
created = 2026-11-01
expires = 2099-01-01
environments = ["small"]
expect = "fail"
"""
"""all of a rule but the tests that it selects and the failures that it matches"""

KNOWN = """
reason = "a reason"
issue = "GAIA-1"
owner = "@team"
created = 2026-11-01
expires = 2099-01-01
environments = ["small"]
"""
"""all of an expectation but the tests that it selects and the failures that it covers"""
