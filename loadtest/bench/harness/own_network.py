"""A part of a benchmark that runs in a network namespace of its own, and prints its lines there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping

from loadtest.errors import BenchError

NAMESPACES = {"unshare": "util-linux"}
WHERE = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def run_in_namespace(
    part: str, module: str, argument: str, programs: Mapping[str, str], within_s: float
) -> list[str]:
    """Run a module in a namespace whose loopback is down; return the lines that it printed.

    Args:
        part: its name, for messages.
        module: ``python -m …``.
        argument: what it is given.
        programs: further ones that it needs, and the package of each.
        within_s: seconds that it may take.

    Raises BenchError where this machine has no network namespaces for us, or lacks a program, and where the
    module fails.
    """
    for program, package in {**NAMESPACES, **programs}.items():
        if shutil.which(program, path=WHERE) is None:
            raise BenchError(f"{part} needs {program}: install {package}")
    namespace = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--net"]
    command = [*namespace, sys.executable, "-m", module, argument]
    env = {**os.environ, "PATH": WHERE}
    try:
        finished = subprocess.run(command, capture_output=True, timeout=within_s, check=False, env=env)
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"{part} did not end within {within_s:g} s") from error
    if finished.returncode:
        said = finished.stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"]
        if said[-1].startswith("unshare"):
            raise BenchError(f"{part} needs root, or users' network namespaces: {said[-1]}")
        raise BenchError(f"{part}: {said[-1]}")
    return finished.stdout.decode().splitlines()
