"""``resilience``: bad days, one part each, and beside every figure the limit that it has to keep.

A part is a module of this folder with ``LIMITS`` and ``run(options)``; ``harness`` says what it is given and
judges what it returns.
"""
