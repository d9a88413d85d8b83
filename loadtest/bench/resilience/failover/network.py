"""The namespace's network: who is connected to a port, connections that die in silence."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable

import psutil

from loadtest.errors import BenchError

RESTORE = shutil.which("iptables-restore") or "/usr/sbin/iptables-restore"


def clients_of(port: int, pid: int | None = None) -> list[int]:
    """The client's port of every established connection to ``port``; where given, of one process alone."""
    found = psutil.Process(pid).net_connections("tcp") if pid else psutil.net_connections("tcp")
    return sorted(
        {
            getattr(connection.laddr, "port", 0)
            for connection in found
            if connection.status == psutil.CONN_ESTABLISHED and getattr(connection.raddr, "port", 0) == port
        }
    )


def drop(clients: Iterable[int], port: int) -> int:
    """Drop every packet of these connections from now on, both ways; return how many connections."""
    clients = list(clients)
    rules = [
        f"-A INPUT -p tcp --sport {source} --dport {target} -j DROP"
        for client in clients
        for source, target in ((client, port), (port, client))
    ]
    _restore(["*filter", *rules, "COMMIT"], "--noflush")
    return len(clients)


def forget_drops() -> None:
    """Let every packet pass again."""
    _restore(["*filter", ":INPUT ACCEPT [0:0]", "COMMIT"])


def _restore(lines: list[str], *options: str) -> None:
    done = subprocess.run(
        [RESTORE, *options], input="\n".join([*lines, ""]), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BenchError(f"iptables-restore: {done.stderr.strip() or 'it said nothing'}")
