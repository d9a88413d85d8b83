"""Two releases side by side: an upgrade under a flood."""
