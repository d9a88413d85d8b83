"""Launch day in virtual time: the real matching kernel and the real autoscaler policies, driven by a clock
that only counts.

In the order of a run: ``plan`` turns a scenario into a setup, ``simulator`` runs it, ``world`` is the whole
state, ``event_queue`` holds what happens when, ``time_advance`` lets time pass, ``matching_cycle`` matches
and allocates, ``warm_pool`` starts and ends servers, ``policy`` sizes the fleet, ``result`` holds the
figures. ``sweep`` simulates many settings, ``theory`` and ``agreement`` check the simulator against formulas
and against a real backend, ``convergence`` checks the ratings, ``pages`` renders all of it.
"""
