"""What every service stands on, and the command line.

Its rooms, each importing only those before it:

- this folder: settings, errors, clock, identity, problems, service, telemetry, kernel cache, child processes;
- ``engines``: the embedded Valkey, PostgreSQL and Kafka brokers;
- ``launcher``: the whole backend on one machine;
- ``cli``: the command ``launchday``, which imports the services and the load test; beside it alone `simulate`
  of this module does, when it is called.

The errors are drawn as a tree in ``launchday.errors``.
"""

from __future__ import annotations

import os as _os
import sys as _sys
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

if _sys.platform != "linux":  # before the first module that only Linux has
    raise SystemExit(
        f"error: launchday runs on Linux, and this is {_sys.platform}: use a Linux machine, WSL 2 on "
        "Windows, or the image of compose/Dockerfile"
    )

from launchday.kernel_cache import configure as _configure_kernel_cache

if _TYPE_CHECKING:
    from collections.abc import Mapping as _Mapping

    from loadtest.simulate.simulation import Simulation as _Simulation

__version__ = "0.1.0"

# Before anything imports numpy: its OpenBLAS takes a thread and 32 MB for each core, and nothing of ours uses
# it. A pod with a limit on memory or processes would end at that import.
_os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Before anything imports prometheus_client: with this, metrics would be files of holes that are mapped, in a
# folder of somebody else's programs, and a full disk there the end of a service (SIGBUS).
_os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)
# Before anything imports numba: numba reads the name of its cache folder once, when it is imported.
_configure_kernel_cache()


def simulate(
    scenario: str | _os.PathLike[str] | _Mapping[str, _Any],
    *,
    seed: int | None = None,
    scale: float = 1.0,
    rated: bool | None = None,
    steady: bool = False,
    **overrides: _Any,
) -> _Simulation:
    """Simulate a scenario in virtual time, as ``launchday simulate`` does, and return figures and tables.

    Args:
        scenario: a file, the name of a shipped one, or the content of one as a mapping.
        seed: another than the scenario's.
        scale: factor for players, buffers and servers.
        rated: whether the matchmaker knows the players' skill; None: as the scenario says.
        steady: the figures are those of the steady part alone.
        overrides: values by their dotted keys: ``**{"fleet.buffer": 4, "arrivals.over_s": 60}``.

    Returns:
        ``figures`` (a dict), ``objectives``, ``passed``, and ``tickets``, ``matches`` and ``samples``, which
        are tables of pyarrow; docs/analyse.md names their columns.

    Raises:
        loadtest.errors.ScenarioError: the scenario or an override is wrong; ``lines`` has every mistake.
    """
    from loadtest.simulate.simulation import run  # services import this package, and need no load test

    return run(scenario, seed=seed, scale=scale, rated=rated, steady=steady, **overrides)
