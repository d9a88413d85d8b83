"""Launch day in virtual time: the real matching kernel and the real autoscaler policies, driven by a clock that only counts.

A simulation, in the order of the modules: ``plan`` turns a scenario into what is needed of it, ``crowd`` draws its players,
``world`` is everything that changes, ``calendar`` holds what happens when, ``warm_pool`` starts and stops servers, ``cycle``
matches and allocates, ``engine`` lets time pass, ``result`` says what it came to. ``sweep`` does it many times over, ``theory``
and ``rehearsal`` check it against formulas and against a real backend.
"""
