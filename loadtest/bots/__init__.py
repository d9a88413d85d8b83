"""The bots' UDP side: what they perceive and decide, their emulated links, and the thread that runs all of
them.

``swarm`` is the entrance; ``step`` is what it runs 240 times a second, compiled.
"""
