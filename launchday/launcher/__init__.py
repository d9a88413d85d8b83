"""Starts a whole backend on this machine: compiles its kernels, starts its processes, stops them again.

``kernels`` compiles, ``backend`` starts and stops, ``lifecycle`` does both around whatever runs on the
backend.
"""
