"""The greedy over a plan: compiled."""
