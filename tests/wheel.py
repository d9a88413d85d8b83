"""Builds the wheel and installs it into an empty environment, as a user's ``pip install`` would, in seconds.

The environment sees the locked packages of the environment that runs the tests, so nothing is downloaded; of
the repository it sees nothing.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

ROOT = Path(__file__).parent.parent


def install_wheel(folder: Path) -> Path:
    """Build the wheel from the files that git knows, install it, and return the path of the environment's
    ``launchday``.
    """
    source, wheels, environment = folder / "source", folder / "wheels", folder / "environment"
    listed = _run("git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard")
    for name in listed.splitlines():
        if (ROOT / name).is_file() and not name.startswith(("tests/", "docs/")):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, source / name)
    offline = ("--quiet", "--no-deps", "--no-index")
    _run(
        sys.executable, "-m", "pip", "wheel", *offline, "--no-build-isolation", "-w", str(wheels), str(source)
    )
    shutil.rmtree(source)
    venv.EnvBuilder(symlinks=True).create(environment)
    (site_packages,) = environment.glob("lib/python*/site-packages")
    (site_packages / "locked.pth").write_text(sysconfig.get_path("purelib") + "\n")
    python = environment / "bin" / "python"
    (wheel,) = wheels.glob("launchday-*.whl")
    _run(sys.executable, "-m", "pip", "--python", str(python), "install", *offline, str(wheel))
    return environment / "bin" / "launchday"


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout
