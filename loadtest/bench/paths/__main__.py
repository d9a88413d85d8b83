"""Runs inside the namespace: ``python -m loadtest.bench.paths OPTIONS`` prints a case's figures."""

from __future__ import annotations

import json
import subprocess
import sys

from launchday import startup
from loadtest.bench.loopback import raise_loopback
from loadtest.bench.options import Options
from loadtest.bench.paths.cases import CASES
from loadtest.errors import BenchError


def main() -> None:
    """Print the figures; a fault is one line on standard error."""
    given = json.loads(sys.argv[1])
    fault = given.pop("fault")
    options = Options(**given | {"only": tuple(given["only"])})
    try:
        raise_loopback()
        for name in options.chosen(tuple(CASES)):
            print(json.dumps(CASES[name].judged(options, fault)), flush=True)
    except (BenchError, OSError, subprocess.SubprocessError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    startup.prepare()
    main()
