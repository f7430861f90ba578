"""From the ledger, the gate and the files of runs to the sign-off page. Reads; writes nothing, asks nobody."""
