"""What a run does to its backend on purpose: faults, and what makes them."""
