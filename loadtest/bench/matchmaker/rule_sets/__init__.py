"""Forty rule sets of many studios' forms, matched by their plans and judged by the guide's words.

``catalogue`` has the rule sets and what their players bring, ``pools`` draws the players, ``judge`` says
whether a match is right (``measured`` reads expressions for it), ``plain_greedy`` is the simplest matcher
there is, and ``measuring`` is the benchmark. ``random_rules`` draws rule sets, and ``properties`` tries their
plans on small pools.
"""
