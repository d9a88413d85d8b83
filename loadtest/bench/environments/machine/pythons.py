"""Each Python that we support, where it is there with our packages."""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys

from launchday import kernel_cache
from loadtest.bench.environments.commands import doctor_and_flood, launchday, unwell
from loadtest.bench.environments.harness import Case, Found
from loadtest.bench.options import Options
from loadtest.errors import CaseUnavailableError

VERSIONS = ("3.11", "3.12", "3.13")
COMPILE_S = 400.0  # at worst: kernels of a Python are compiled once
LOOK_S = 30.0
HAS_PACKAGES = "import sys, numba, psutil, pydantic, uvloop; print('%d.%d' % sys.version_info[:2])"


def python(version: str, options: Options) -> Found:
    """This Python: kernels are compiled for it, then doctor and the flood."""
    interpreter = find(version)
    if options.floods:
        compiled = launchday("compile", python=[interpreter], env=_tree(), timeout_s=COMPILE_S)
        if (wrong := unwell(compiled)) is not None:
            return Found(False, f"compile: {wrong}")
    return doctor_and_flood(options, python=[interpreter], env=_tree())


def find(version: str) -> str:
    """Return an interpreter of a version that has our packages. Raises CaseUnavailableError."""
    named = f"python{version}"
    own = kernel_cache.ROOT / f".venv-{version}" / "bin" / "python"
    for candidate in (sys.executable, str(own), shutil.which(named)):
        if candidate is None or not shutil.which(candidate):
            continue
        asked = subprocess.run(
            [candidate, "-c", HAS_PACKAGES], capture_output=True, text=True, timeout=LOOK_S, check=False
        )
        if asked.returncode == 0 and asked.stdout.strip() == version:
            return candidate
    raise CaseUnavailableError(
        f"this case needs Python {version} with our packages: make pythons PYTHON={named} "
        f"VENV={own.parts[-3]}"
    )


def _tree() -> dict[str, str]:
    return {"PYTHONPATH": str(kernel_cache.ROOT)}


CASES = tuple(
    Case(f"python_{version}", functools.partial(python, version), bound_s=COMPILE_S + 60.0)
    for version in VERSIONS
)
