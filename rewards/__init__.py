"""The events, and the service that turns them into experience, levels and statistics, each exactly once."""
