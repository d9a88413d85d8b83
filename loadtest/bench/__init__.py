"""Benchmarks of the hot paths: real processes and sockets, and beside each figure the floor that nothing
could go below.

``cli`` runs them by name. ``harness`` starts two processes on cores of their own, one that runs a real engine
at its real pace and one that plays all of its clients; the benchmarks in ``tick`` measure matches with it.
``matchmaker``, ``fleet``, ``meta`` and ``rewards`` measure the other services, ``simulation_checks`` and
``agreement`` the simulator.
"""
