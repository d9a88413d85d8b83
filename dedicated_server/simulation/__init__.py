"""The game itself: where players stand, whom their shots hit, when the match is over.

No socket, no clock, no chance.

A tick is ``apply`` (inputs become movement and shots) and ``simulate`` (shots hit, the zone hurts, the dead
are counted). Both are compiled calls over the whole :class:`~dedicated_server.simulation.world.World`.
Everything random is drawn from the match's seed before the first tick, all arithmetic is IEEE double without
contraction, and angles go through :mod:`~dedicated_server.simulation.heading` instead of the C library. So
the same seed and the same inputs give the same match bit for bit, on any machine.
"""
