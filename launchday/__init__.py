"""What every service stands on, and the command line.

Its rooms, each importing only those before it:

- this folder: settings, errors, clock, identity, problems, service, telemetry, kernel cache, child processes;
- ``engines``: the embedded Valkey, PostgreSQL and Kafka brokers;
- ``launcher``: the whole backend on one machine;
- ``cli``: the command ``launchday``, which alone imports the services and the load test.

The errors are drawn as a tree in ``launchday.errors``.
"""

import os as _os
import sys as _sys

if _sys.platform != "linux":  # before the first module that only Linux has
    raise SystemExit(
        f"error: launchday runs on Linux, and this is {_sys.platform}: use a Linux machine, WSL 2 on "
        "Windows, or the image of compose/Dockerfile"
    )

from launchday.kernel_cache import configure as _configure_kernel_cache

__version__ = "0.1.0"

# Before anything imports numpy: its OpenBLAS takes a thread and 32 MB for each core, and nothing of ours uses
# it. A pod with a limit on memory or processes would end at that import.
_os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Before anything imports prometheus_client: with this, metrics would be files of holes that are mapped, in a
# folder of somebody else's programs, and a full disk there the end of a service (SIGBUS).
_os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)
# Before anything imports numba: numba reads the name of its cache folder once, when it is imported.
_configure_kernel_cache()
