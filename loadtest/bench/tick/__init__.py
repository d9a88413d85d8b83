"""Benchmarks of the game server's tick, its wire format, its transports, its ciphers and its defence."""
