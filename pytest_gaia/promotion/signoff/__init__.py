"""The release report of a release, from the ledger, the gate and the files of runs. Read-only."""
