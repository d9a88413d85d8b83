"""The load test: simulated players against a real backend, and the same scenarios in virtual time.

Its rooms, each of which imports only those below it:

- ``command``: ``launchday flood``, from the scenario file to the report
- ``report``: HTML, JSON, CSV and terminal output of an outcome
- ``flood``: one run against a real backend; ``flood.run`` is its timetable
- ``players``: the journey of each player over HTTP
- ``bots``: the UDP side of all players, compiled
- ``scenario``: the YAML file and the players drawn from it
- ``examples``: two backends that are not ours, and their targets
- ``http_target``, ``target_loading``: an HTTP client for targets, and how ``--target`` finds one
- ``target``: what a backend must do to be flooded
- ``errors``: everything that can go wrong, as one tree

Beside them: ``locust`` (bots for Locust), ``chaos`` (kill -9 under load), ``simulate`` (scenarios in virtual
time), ``bench`` (benchmarks), ``event_fixture`` (events of known worth).
"""

import launchday  # noqa: F401 - tells numba where to keep compiled kernels, which it learns once, when it is imported
