"""What a machine may lack. A test that needs it is skipped with the reason, unless LAUNCHDAY_TEST_REQUIRE names it: then it runs."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from launchday.engines import apache_kafka

REQUIRED = frozenset(filter(None, os.environ.get("LAUNCHDAY_TEST_REQUIRE", "").split(",")))


def needs(what: str) -> pytest.MarkDecorator:
    """Mark a test as needing ``apache-kafka`` (Java and the jars of make kafka), ``kcat``, ``nginx``, ``tshark``, ``chromium`` or
    ``openssl``."""
    missing = _missing(what)
    return pytest.mark.skipif(bool(missing) and what not in REQUIRED, reason=missing)


def _missing(what: str) -> str:
    match what:
        case "apache-kafka":
            if shutil.which("java") is None:
                return "Apache Kafka needs Java 17"
            return "" if apache_kafka.is_resolved() else "Apache Kafka's jars are missing: run make kafka"
        case "kcat":
            return "" if shutil.which("kcat") else "kcat is not installed"
        case "nginx":
            return (
                ""
                if shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
                else "nginx is not installed"
            )
        case "tshark":
            return "" if _may_capture() else "tshark is not installed, or may not listen on the loopback"
        case "chromium":
            return "" if chromium() else "Chromium is not installed: the pages are not looked at"
        case "openssl":
            return (
                ""
                if shutil.which("openssl")
                else "openssl is not installed: there are no certificates to test with"
            )
        case _:
            raise ValueError(f"nothing optional is called {what}")


def chromium() -> str:
    """The path of an installed Chromium, "" if there is none."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), "")


def _may_capture() -> bool:
    tshark = shutil.which("tshark")
    if tshark is None:
        return False
    interfaces = subprocess.run([tshark, "-D"], capture_output=True, text=True, check=False, timeout=30)
    return " lo " in interfaces.stdout
