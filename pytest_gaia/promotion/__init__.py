"""From "the tests passed" to "this release may go there": bundle, evidence, checklist, gate, ledger, rollback."""
