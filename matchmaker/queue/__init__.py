"""The queue in the cache: its scripts, its lease, its tickets and its counters."""
