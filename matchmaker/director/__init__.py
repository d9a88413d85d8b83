"""Director."""
