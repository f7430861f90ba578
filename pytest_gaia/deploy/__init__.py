"""The deploy hook: one contract, and thin adapters around the tools that carry it out."""
