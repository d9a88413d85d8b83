"""Matches without a network: a mode's world, and bots that know of it what a client would.

`match.HeadlessMatch` plays one, compiled or, with ``NUMBA_DISABLE_JIT=1``, as plain Python. `trial` plays one
both ways and compares; `series` plays many and counts.
"""
