"""Simulated players: scenarios, emulated links, the swarm of UDP bots, and the report of what they saw.

A run, in the order of the modules: ``scenario_file`` reads and checks the YAML, ``population`` draws the players, ``journey``
takes each from login to the end of a match over HTTP, ``swarm`` plays all of them over UDP in compiled code through the
delays of ``links``, ``timeline`` samples the backend, ``ledger`` checks its books, and ``report`` writes it all down.
``flood.run`` is the timetable.
"""

import launchday  # noqa: F401 - tells numba where to keep compiled kernels, which it learns once, when it is imported
