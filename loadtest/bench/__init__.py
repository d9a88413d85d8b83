"""Benchmarks of the hot paths: real processes, real sockets, and beside each figure the floor that nothing could go below.

``rig`` starts two processes and keeps them apart: ``game_server`` runs a real engine at its real pace, ``crowd`` plays all of its clients.
``tick``, ``scale``, ``wire`` and ``transport`` are the benchmarks, each a function that returns what ``cli`` prints.
"""
