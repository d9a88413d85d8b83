"""Starts a whole backend on this machine: compiles its kernels, starts its processes, stops them again.

``kernels`` compiles, ``listening`` looks for what is in the way, ``free_ports`` goes around it, ``backend``
starts and stops, ``lifecycle`` does all of it around whatever runs on the backend.
"""
