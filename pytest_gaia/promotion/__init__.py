"""From "the tests passed" to "this release may go there": release, evidence, checklist, gate, ledger, rollback."""
