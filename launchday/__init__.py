"""What every service stands on, and the command line.

Its rooms, each importing only those before it:

- this folder: settings, errors, clock, identity, problems, service, telemetry, kernel cache, child processes;
- ``engines``: the embedded Valkey, PostgreSQL and Kafka brokers;
- ``launcher``: the whole backend on one machine;
- ``cli``: the command ``launchday``, which alone imports the services and the load test.

The errors are drawn as a tree in ``launchday.errors``.
"""

from launchday.kernel_cache import configure as _configure_kernel_cache

__version__ = "0.1.0"

# Before anything imports numba: numba reads the name of its cache folder once, when it is imported.
_configure_kernel_cache()
