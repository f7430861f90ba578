"""Writers of ledger entries: promotions, rollbacks and rollback drills, results of tools, approvals and waivers."""
