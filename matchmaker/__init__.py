"""From a player's ticket to a seat on a game server.

A ticket's life, in the order of the modules: ``api`` takes it, ``intake`` writes it with others of the same moment,
``queue`` carries it to the director that holds the lease, ``pool`` keeps it as a row of arrays, ``matching`` groups it,
``placement`` finds a server for its match, ``waiters`` tells its player, ``books`` counts it.

Others use ``matchmaker.client`` alone.
"""

import launchday  # noqa: F401 - tells numba where to keep compiled kernels, which it learns once, when it is imported
