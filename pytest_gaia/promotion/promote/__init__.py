"""What writes into the ledger: promotions, rollbacks and their rehearsals, findings of tools, and words of people."""
