"""Battle royale."""
