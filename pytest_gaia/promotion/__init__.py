"""Promotion of releases: releases, evidence, release checks, gate, ledger and rollback."""
