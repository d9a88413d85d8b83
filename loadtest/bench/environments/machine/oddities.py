"""Odd surroundings of a process: temporary folders, networks, variables, signals, a folder that is gone."""

from __future__ import annotations

import functools
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from loadtest.bench.environments.commands import FLOOD, doctor_and_flood, launchday, run, unwell
from loadtest.bench.environments.harness import Case, Found
from loadtest.bench.environments.spaces import Space
from loadtest.bench.options import Options

NO_NAME = "PostgreSQL needs a name.*LAUNCHDAY_STORE_URL"
NAMESAKES = ("rewards", "matchmaker", "redis", "numpy", "random", "secrets", "json", "launchday")
NOBODY_LISTENS = "http://127.0.0.1:9"
VARIABLES: Mapping[str, str | None] = {
    **dict.fromkeys(("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "ALL_PROXY"), NOBODY_LISTENS),
    "no_proxy": None,
    "NO_PROXY": None,
    "SSL_CERT_FILE": "/nowhere/certificates.pem",
    "PGHOST": "/nowhere",
    "PGPORT": "1",
    "PGUSER": "somebody",
    "PGDATABASE": "other",
    "PGDATA": "/nowhere",
    "PGSSLMODE": "verify-full",
    "PGOPTIONS": "-c search_path=other",
    "PGPASSFILE": "/nowhere/passwords",
    "PGTZ": "Asia/Kolkata",
    "PGSERVICE": "other",
    "PGTARGETSESSIONATTRS": "standby",
    "LANG": "tr_TR.UTF-8",
    "LC_ALL": "tr_TR.UTF-8",
    "LANGUAGE": "tr",
    "TERM": "dumb",
    "COLUMNS": "0",
    "LINES": "x",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONSAFEPATH": "1",
    "PYTHONUNBUFFERED": "1",
    "OMP_NUM_THREADS": "1",
    "PATH": "/nowhere",
    "NOT_UTF8": os.fsdecode(b"\xff\xfe"),
}


def network(kind: str, refusal: str, options: Options) -> Found:
    """A network of its own: without names and neighbours, without IPv6, or not even a loopback."""
    return doctor_and_flood(options, within=Space(network=kind), refusal=refusal)


def variables(options: Options) -> Found:
    """Variables of other programs: proxies, PostgreSQL's, a locale that is not there, Python's switches."""
    return doctor_and_flood(options, env=VARIABLES)


def odd_host(options: Options) -> Found:
    """A host with an odd name, a umask that gives nothing to others, and a network without names."""
    return doctor_and_flood(options, within=Space(network="own", hostname="Ä host_name.-", umask=0o077))


def temporary(options: Options) -> Found:
    """A temporary folder that is missing, and then none that could be written."""
    missing = doctor_and_flood(options, env={"TMPDIR": "/nowhere/at/all"})
    if not missing.well:
        return missing
    none = Space(read_only=("/tmp", "/var/tmp"))
    if (wrong := unwell(launchday("doctor", within=none, env={"TMPDIR": None}), r"TMPDIR")) is not None:
        return Found(False, f"no temporary folder can be written: {wrong}")
    return Found(True, f"{missing.said}; without any temporary folder, too", missing.figures)


def signals(options: Options) -> Found:
    """Started with signals ignored and blocked, as `nohup` and some supervisors do."""
    return doctor_and_flood(options, within=Space(ignored=("SIGCHLD", "SIGHUP"), blocked=("SIGTERM",)))


def folder_is_gone(options: Options) -> Found:
    """The working folder was deleted while a shell was in it."""
    gone = Path("gone").absolute()
    gone.mkdir()
    os.chdir(gone)
    shutil.rmtree(gone)
    return doctor_and_flood(options, refusal="cannot write report.html: No such file or directory")


def namesakes(options: Options) -> Found:
    """The working folder has modules of the user's, with names of ours and of Python's."""
    for name in NAMESAKES:
        Path(f"{name}.py").write_text("raise SystemExit('this module is not yours')\n")
    program = str(Path(sys.executable).with_name("launchday"))
    ran = run([program, *(FLOOD if options.floods else ["doctor"])])
    if (wrong := unwell(ran)) is not None:
        return Found(False, wrong)
    return Found(True, "no module of the user's is imported")


def bare_image(options: Options) -> Found:
    """Without /etc (no passwd, hosts or local time), and without what the kernel says below /proc/sys."""
    return doctor_and_flood(options, within=Space(small={"/etc": 64, "/proc/sys": 4}), refusal=NO_NAME)


CASES = (
    Case("no_names", functools.partial(network, "own", "")),
    Case("no_ipv6", functools.partial(network, "no_ipv6", "")),
    Case("no_loopback", functools.partial(network, "down", r"(?i)loopback|lo up|LAUNCHDAY_BIND_HOST")),
    Case("variables", variables),
    Case("odd_host", odd_host),
    Case("temporary", temporary),
    Case("signals", signals),
    Case("folder_is_gone", folder_is_gone),
    Case("namesakes", namesakes),
    Case("bare_image", bare_image),
)
