"""Battle royale: each against all on one map, until one is left or the zone has closed."""
