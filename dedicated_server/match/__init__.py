"""One match of a game server around its tick: what it plays, whom it admits, what it reports and emits."""
