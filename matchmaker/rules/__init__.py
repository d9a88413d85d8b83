"""What makes a match: the rule sets of the modes, and what the matching reads of them."""
