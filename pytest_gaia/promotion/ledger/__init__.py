"""The ledger: signed statements in a chain, the keys that are trusted, where both are kept, and the lock of an environment."""
