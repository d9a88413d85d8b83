"""The headless game server of one match, and ``fleet``: the warm pool that keeps such servers ready."""

import launchday  # noqa: F401 - tells numba where to keep compiled kernels, which it learns once, when it is imported
