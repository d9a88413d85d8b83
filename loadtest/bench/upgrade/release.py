"""Another release of this program, as a wheel in an environment of its own.

The environment sees the locked packages of the one that runs this, so nothing is downloaded; of the
repository and of this release it sees nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
from collections.abc import Mapping
from pathlib import Path

from launchday.settings import Settings, environment
from loadtest.errors import BenchError

ROOT = Path(__file__).parents[3]
_VARIABLES = """
import json
from launchday.settings import Settings, env_name
print(json.dumps([env_name(name) for name in Settings.model_fields]))
"""
_HEAD = "from meta_service.store.version import HEAD; print(HEAD)"


class Release:
    """An installed release.

    Args:
        python: of its environment; None: this release.
    """

    def __init__(self, python: Path | None = None) -> None:
        self._python = Path(sys.executable) if python is None else python
        self._variables: set[str] | None = (
            None if python is None else set(json.loads(self.run("-c", _VARIABLES)))
        )

    @property
    def head(self) -> str:
        """The newest step of the schema that it knows."""
        return self.run("-c", _HEAD).strip()

    def module(self, name: str, *arguments: str) -> list[str]:
        """The command that runs one of its modules."""
        return [str(self._python), "-m", name, *arguments]

    def environment(self, settings: Settings) -> dict[str, str]:
        """The variables that it knows, of settings of this release."""
        return {
            "PYTHONSAFEPATH": "1",  # the working folder may be that of this release's source
            **{
                name: value
                for name, value in environment(settings).items()
                if self._variables is None or name in self._variables
            },
        }

    def run(self, *arguments: str, env: Mapping[str, str] | None = None) -> str:
        """Run its Python to the end; return what it printed. Raises BenchError with its last line."""
        found = {**os.environ, "PYTHONSAFEPATH": "1", **(env or {})}
        return _run(str(self._python), *arguments, env=found)


def install(old: str, folder: Path) -> Release:
    """Install a release below ``folder``.

    Args:
        old: a wheel's path, or a revision of the repository that holds this file, of which one is built.
        folder: a new one.

    Raises BenchError where there is no such thing, or it cannot be built.
    """
    folder.mkdir(parents=True)
    wheel = Path(old).absolute() if old.endswith(".whl") else _build(old, folder)
    if not wheel.is_file():
        raise BenchError(f"there is no wheel {wheel}: give the path of one, or a revision")
    place = folder / "environment"
    venv.EnvBuilder(symlinks=True).create(place)
    (site_packages,) = place.glob("lib/python*/site-packages")
    # A path and no .pth of an editable install, whose folder would come with it.
    (site_packages / "locked.pth").write_text(sysconfig.get_path("purelib") + "\n")
    python = place / "bin" / "python"
    _run(sys.executable, "-m", "pip", "--python", str(python), "install", *_OFFLINE, str(wheel))
    return Release(python)


_OFFLINE = ("--quiet", "--no-deps", "--no-index", "--disable-pip-version-check")


def _build(revision: str, folder: Path) -> Path:
    source, wheels, packed = folder / "source", folder / "wheels", folder / "source.tar"
    _run("git", "-C", str(ROOT), "archive", "--output", str(packed), revision)
    with tarfile.open(packed) as archive:
        archive.extractall(source, filter="data")
    options = (*_OFFLINE, "--no-build-isolation", "-w", str(wheels))
    _run(sys.executable, "-m", "pip", "wheel", *options, str(source))
    (wheel,) = wheels.glob("launchday-*.whl")
    return wheel


def _run(*command: str, env: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, env=None if env is None else dict(env))
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()
        raise BenchError(f"{' '.join(command[:4])[:120]} … failed: {said[-1][:400]}")
    return done.stdout
