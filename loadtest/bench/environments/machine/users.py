"""Who runs it: a user without home or entry in passwd, in a tree nobody can write; two backends at once."""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from launchday import kernel_cache
from launchday.launcher.children import answers_ok
from launchday.settings import env_name
from loadtest.bench.environments.commands import (
    FLOOD,
    HANDFUL,
    NOWHERE,
    doctor_and_flood,
    launchday,
    lost,
    running,
    unwell,
)
from loadtest.bench.environments.digests import changes, digests
from loadtest.bench.environments.harness import Case, Found
from loadtest.bench.environments.spaces import Space
from loadtest.bench.options import Options
from loadtest.bench.own_backend import free_ports
from loadtest.errors import CaseUnavailableError

STRANGER = 54_321  # an id that no entry of passwd has
TREE = str(kernel_cache.ROOT)
HOMELESS: Mapping[str, str | None] = {
    **dict.fromkeys(("HOME", "USER", "LOGNAME", "XDG_CACHE_HOME", "TMPDIR")),
    "PYTHONDONTWRITEBYTECODE": None,
}
UP = "the backend is up"
UP_S = 40.0
SECOND = "second"
COLD_S = 240.0  # with kernels to compile
PORT_IN_USE = r"LAUNCHDAY_[A-Z]+_PORT"
FOREIGN = {"file": b"mine", "launchday-54321-0/frame.feed": b"mine, too", "fleet.new": b""}


def no_home(options: Options) -> Found:
    """Neither home nor entry in passwd; the tree and the folder of compiled kernels cannot be written."""
    kernels = [_kernels()] if options.floods else []
    within = Space(uid=STRANGER, read_only=(TREE, *_home(), *kernels))
    env = {**HOMELESS, **dict.fromkeys([kernel_cache.CACHE_VARIABLE], *kernels)}
    return doctor_and_flood(options, within=within, env=env)


def no_kernels(options: Options) -> Found:
    """As `no_home`, and no kernel is compiled yet: a simulation finds a folder for its own."""
    within = Space(uid=STRANGER, read_only=(TREE, *_home()))
    env = {**HOMELESS, "HOME": "/", kernel_cache.CACHE_VARIABLE: None}
    arguments = ["simulate", str(HANDFUL), "--json"] if options.floods else ["doctor"]
    ran = launchday(*arguments, within=within, env=env, timeout_s=COLD_S)
    if (wrong := unwell(ran)) is not None:
        return Found(False, f"{arguments[0]}: {wrong}")
    return Found(True, f"{arguments[0]} ends well, kernels compiled", {"took_s": round(ran.took_s, 1)})


def read_only_tree(options: Options) -> Found:
    """A tree that cannot be written, worked in: only the state folder takes anything."""
    within = Space(read_only=(TREE,))
    reports = Path("report.html").absolute()
    os.chdir(TREE)
    return doctor_and_flood(options, "--report", str(reports), within=within)


def two_backends(second: Space, options: Options) -> Found:
    """A second backend, of the same user or another, while one is up: neither notices the other."""
    if not options.floods:
        return Found(True, "nothing was started")
    own = Path(SECOND).absolute()
    own.mkdir(mode=0o777)
    if second.user is not None:
        if os.geteuid() != 0:
            raise CaseUnavailableError("this case needs root, to be another user")
        os.chmod(own.parent, 0o755)
        os.chown(own, second.user, second.user)
    foreign = Path("foreign").absolute()
    for name, content in FOREIGN.items():
        (foreign / name).parent.mkdir(parents=True, exist_ok=True)
        (foreign / name).write_bytes(content)
    before = digests(foreign)
    first = {env_name("spectator_dir"): str(foreign)}
    home = {"HOME": str(own), "TMPDIR": None, env_name("state_dir"): str(own / "state")}
    kernels = {kernel_cache.CACHE_VARIABLE: _kernels()}
    with running("up", env=first) as beside:
        beside.wait_for(UP, UP_S)
        clashing = launchday("up", within=second, env={**home, **kernels})
        if clashing.code == 0 or (wrong := unwell(clashing, PORT_IN_USE)) is not None:
            return Found(False, f"the second on the same ports: {wrong or clashing.last_line}")
        ports = {env_name(name): str(port) for name, port in free_ports().items()}
        report = str(own / "report.html")
        ran = launchday(*FLOOD, "--report", report, within=second, env={**home, **kernels, **ports})
        if (wrong := unwell(ran) or lost(ran)) is not None:
            return Found(False, f"the second: {wrong}")
        url = f"http://127.0.0.1:{os.environ[env_name('fleet_port')]}/readyz"
        ready = answers_ok(url)
        died = [line for line in beside.lines if " died" in line]
        if died or not ready:
            return Found(False, f"the first: {died[0] if died else 'its fleet is not ready any more'}")
        code = beside.stop()
    if code != 0:
        return Found(False, f"the first ended with code {code}: {beside.lines[-1]}")
    if touched := changes(before, {name: was for name, was in digests(foreign).items() if name in before}):
        return Found(False, f"files of the first: {', '.join(touched)}")
    return Found(True, f"both end well; on the same ports: {clashing.last_line}")


def _kernels() -> str:
    """A copy of the compiled kernels in the folder of the case, which others may read."""
    copy = Path("kernels").absolute()
    configured = kernel_cache.configure()
    if not copy.exists() and configured is not None:
        shutil.copytree(configured, copy)
    return str(copy)


def _home() -> tuple[str, ...]:
    home = os.environ.get("HOME", "")
    return (home,) if home not in ("", "/") and Path(home).is_dir() else ()


CASES = (
    Case("no_home", no_home),
    Case("no_kernels", no_kernels, bound_s=COLD_S + 20.0),
    Case("read_only_tree", read_only_tree),
    Case("second_backend", functools.partial(two_backends, NOWHERE), bound_s=120.0),
    Case("second_user", functools.partial(two_backends, Space(user=STRANGER)), bound_s=120.0),
)
