"""How many game servers a fleet should have: Agones' policies and one of our own.

``policy.parse_policy`` reads a policy in Agones' JSON, and its ``decide`` says how many servers there should
be; ``sizing`` is our own policy, from arrivals and match length. Policies are pure functions of numbers and
times, so the live fleet and a simulation in virtual time decide alike. ``demand`` measures the arrivals and
is the sizing policy's webhook; ``python -m dedicated_server.fleet.autoscaling`` runs it alone.
"""
