"""What every service stands on: settings, embedded servers, identity, telemetry, and the command line."""

from launchday.kernel_cache import configure as _configure_kernel_cache

__version__ = "0.1.0"

# Before anything imports numba: numba reads its cache folder once, when it is imported.
_configure_kernel_cache()
