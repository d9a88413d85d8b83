"""What a machine may lack, or has no time for. A test that needs it is skipped with the reason, unless
LAUNCHDAY_TEST_REQUIRE names it: then it runs.

``LAUNCHDAY_TEST_REQUIRE=apache-kafka,chromium`` says what must be there; with it a run that skips any test
fails.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache

import pytest

from launchday.engines import apache_kafka
from loadtest.bench.harness.own_network import WHERE
from loadtest.bench.paths import PROGRAMS

REQUIRED = frozenset(filter(None, os.environ.get("LAUNCHDAY_TEST_REQUIRE", "").split(",")))
OPTIONAL = frozenset(
    {
        "apache-kafka",
        "chromium",
        "kcat",
        "namespaces",
        "nginx",
        "openssl",
        "pgbouncer",
        "redis-server",
        "tour",
        "tshark",
    }
)
UNKNOWN = sorted(REQUIRED - OPTIONAL)


def needs(what: str) -> pytest.MarkDecorator:
    """Mark a test as needing something of `OPTIONAL`: ``apache-kafka`` is Java and the jars of make kafka,
    ``namespaces`` what networks are built of, the others a program.
    """
    missing = _missing(what)
    return pytest.mark.skipif(bool(missing) and what not in REQUIRED, reason=missing)


def chromium() -> str:
    """Return the path of an installed Chromium, "" if there is none."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), "")


@cache
def _missing(what: str) -> str:
    """Say why a test that needs this cannot run; "" where it can."""
    match what:
        case "apache-kafka":
            if shutil.which("java") is None:
                return "Apache Kafka needs Java 17"
            return "" if apache_kafka.is_resolved() else "Apache Kafka's jars are missing: run make kafka"
        case "kcat":
            return "" if shutil.which("kcat") else "kcat is not installed"
        case "namespaces":
            return "" if _may_build_networks() else "no networks of namespaces can be built here"
        case "nginx":
            found = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
            return "" if found else "nginx is not installed"
        case "pgbouncer":
            found = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
            return "" if found else "pgbouncer is not installed: no pooler is stood in between"
        case "tshark":
            return "" if _may_capture() else "tshark is not installed, or may not listen on the loopback"
        case "chromium":
            return "" if chromium() else "Chromium is not installed: the pages are not looked at"
        case "openssl":
            found = shutil.which("openssl")
            return "" if found else "openssl is not installed: there are no certificates to test with"
        case "redis-server":
            return "" if shutil.which("redis-server") else "redis-server is not installed: nothing has TLS"
        case "tour":
            return (
                "the whole tour takes more than a minute: LAUNCHDAY_TEST_REQUIRE=tour plays it, as "
                ".ci/run does"
            )
        case _:
            raise ValueError(f"nothing optional is called {what}")


def _may_build_networks() -> bool:
    if any(shutil.which(program, path=WHERE) is None for program in PROGRAMS):
        return False
    own = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--net"]
    rule = ["iptables", "-w", "-t", "nat", "-A", "POSTROUTING", "-j", "MASQUERADE"]
    env = {**os.environ, "PATH": WHERE}
    return (
        subprocess.run([*own, *rule], capture_output=True, check=False, timeout=30, env=env).returncode == 0
    )


def _may_capture() -> bool:
    tshark = shutil.which("tshark")
    if tshark is None:
        return False
    interfaces = subprocess.run([tshark, "-D"], capture_output=True, text=True, check=False, timeout=30)
    return " lo " in interfaces.stdout
