"""Network namespaces of regions, joined by a veth pair each to the one that the bench runs in.

A namespace lives as long as a process in it, so a region's is held by one that sleeps; killing all of them
takes it away, with its end of the pair.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from launchday import child_processes
from loadtest.errors import BenchError

STORE_HOST = "10.91.0.1"  # of what is in the bench's own namespace
LOOK_S = 0.02
MADE_S = 10.0


class Namespace:
    """One region's.

    Args:
        number: from 1; its addresses follow from it.
        log: file for what the holder says.

    Attributes:
        host: the region's address, as all see it.
    """

    def __init__(self, number: int, log: Path) -> None:
        self.host = f"10.91.{number}.2"
        self._near, self._far = f"to-region{number}", f"region{number}"
        self._rules: list[tuple[str, ...]] = []
        before = _namespace_of(os.getpid())
        self._holder = child_processes.spawn(["unshare", "--net", "sleep", "infinity"], log=log)
        _await(lambda: _namespace_of(self._holder.pid) not in (0, before), "a network namespace")
        self._inode = _namespace_of(self._holder.pid)
        near_host = f"10.91.{number}.1"
        peer = ("peer", "name", self._far, "netns", str(self._holder.pid))
        _run("ip", "link", "add", self._near, "type", "veth", *peer)
        _run("ip", "address", "add", f"{near_host}/30", "dev", self._near)
        _run("ip", "link", "set", self._near, "up")
        for words in (
            ("address", "add", f"{self.host}/30", "dev", self._far),
            ("link", "set", self._far, "up"),
            ("link", "set", "lo", "up"),
            ("route", "add", "default", "via", near_host),
        ):
            _run(*self.command("ip", *words))

    def command(self, *command: str) -> list[str]:
        """The command line that runs ``command`` in the namespace."""
        return ["nsenter", f"--net=/proc/{self._holder.pid}/ns/net", *command]

    def cut_off(self, port: int) -> None:
        """Drop every packet between the region and a TCP port of `STORE_HOST`, without a word to either."""
        self._rules = [
            ("INPUT", "-i", self._near, "-p", "tcp", "--dport", str(port), "-j", "DROP"),
            ("OUTPUT", "-o", self._near, "-p", "tcp", "--sport", str(port), "-j", "DROP"),
        ]
        for rule in self._rules:
            _run("iptables", "-A", *rule)

    def cut_off_from_all(self) -> None:
        """Drop every packet to and from the region, as where a site has lost its power: nobody is told."""
        for rule in (("INPUT", "-i", self._near, "-j", "DROP"), ("OUTPUT", "-o", self._near, "-j", "DROP")):
            _run("iptables", "-A", *rule)

    def heal(self) -> None:
        """Let all packets pass again."""
        while self._rules:
            _run("iptables", "-D", *self._rules.pop())

    def kill(self) -> None:
        """Kill every process in the namespace at once, which ends it."""
        held = [pid for pid in psutil.pids() if _namespace_of(pid) == self._inode]
        killed = []
        for pid in held:
            try:
                process = psutil.Process(pid)
                process.kill()
                killed.append(process)
            except psutil.Error:
                continue
        psutil.wait_procs(killed, timeout=MADE_S)


def raise_store_host() -> None:
    """Give this namespace `STORE_HOST`."""
    _run("ip", "link", "set", "lo", "up")
    _run("ip", "address", "add", f"{STORE_HOST}/32", "dev", "lo")


def _namespace_of(pid: int) -> int:
    try:
        return os.stat(f"/proc/{pid}/ns/net").st_ino
    except OSError:
        return 0


def _await(wanted: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + MADE_S
    while not wanted():
        if time.monotonic() > until:
            raise BenchError(f"{what} was not there after {MADE_S:g} s")
        time.sleep(LOOK_S)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["it said nothing"]
        raise BenchError(f"{' '.join(command)}: {said[-1]}")
