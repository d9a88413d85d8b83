"""How many game servers a fleet should have: Agones' policies and one of our own, as pure functions of numbers and times.

``policy.parse`` reads a policy in Agones' JSON, ``Policy.decide`` says how many; ``sizing`` is our own, from arrivals and match length.
Nothing in here reads a clock or a socket, so the live fleet and a simulation in virtual time decide alike.
"""
