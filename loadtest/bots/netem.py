"""A cross-check of the emulated links by the kernel's own emulator, ``tc netem`` in a network namespace.

It needs root and sch_netem. Datagrams go from the namespace to this process over a pair of virtual Ethernet
devices; the sender's qdisc applies a link profile to them. Netem draws jitter from a normal distribution and
knows no detours, so the comparison covers what both have: mean delay, share lost, mean length of a run of
losses, share that arrives twice.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from loadtest.bots.links import IN_FLIGHT, SLOT_BITS, link_push, link_queue
from loadtest.errors import NetemUnavailableError
from loadtest.scenario.link_profiles import LinkProfile

OUR_ADDRESS, THEIR_ADDRESS = "10.213.77.1", "10.213.77.2"
PAYLOAD_BYTES = 120
RTT_MS = 60.0
SETTLE_S = 2.0  # for the last datagram to come through
LIMIT = 100_000  # datagrams that netem may hold
SENDER = """
import json, socket, sys, time
host, port, count, gap_s, size = json.loads(sys.argv[1])
out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
start_s = time.monotonic()
for number in range(count):
    time.sleep(max(0.0, start_s + number * gap_s - time.monotonic()))
    out.sendto(f"{number} {time.monotonic():.6f}".encode().ljust(size), (host, port))
"""


@dataclass(frozen=True, slots=True)
class LinkMeasurement:
    """What a link did to datagrams.

    Attributes:
        delay_ms: mean.
        lost: share.
        run: mean length of a run of losses in datagrams; 0 where none were lost.
        twice: share of the datagrams that arrived which arrived twice.
    """

    delay_ms: float
    lost: float
    run: float
    twice: float

    def as_json(self) -> dict[str, float]:
        """The figures as JSON."""
        return {
            "delay_ms": round(self.delay_ms, 2),
            "lost": round(self.lost, 4),
            "run": round(self.run, 2),
            "twice": round(self.twice, 4),
        }


def qdisc(profile: LinkProfile, rtt_ms: float) -> list[str]:
    """The arguments of ``tc qdisc`` for the upward direction of a link."""
    fields = profile.direction(rtt_ms, profile.up_kbit_s)
    given = ["netem", "limit", str(LIMIT), "delay", f"{rtt_ms / 2 + profile.jitter_ms:g}ms"]
    if profile.jitter_ms:
        given += [f"{profile.jitter_ms:g}ms", "distribution", "normal"]
    percent = [100 * fields[name] for name in ("to_bad", "to_good", "loss_bad", "loss")]
    given += ["loss", "gemodel", *(f"{share:.6g}%" for share in percent)]
    if profile.duplicate:
        given += ["duplicate", f"{100 * profile.duplicate:.6g}%"]
    return given + (["rate", f"{profile.up_kbit_s:.0f}kbit"] if profile.up_kbit_s else [])


def why_unavailable() -> str:
    """What the cross-check lacks on this machine; "" where it can run."""
    if os.geteuid() != 0:
        return "netem needs root"
    if shutil.which("tc") is None or shutil.which("ip") is None:
        return "netem needs iproute2: tc and ip"
    try:
        with _namespace() as name:
            _run("ip", "netns", "exec", name, "tc", "qdisc", "add", "dev", "lo", "root", "netem")
    except NetemUnavailableError as error:
        return f"this kernel has no network namespaces or no sch_netem: {error}"
    return ""


def measure_netem(profile: LinkProfile, count: int, gap_s: float) -> LinkMeasurement:
    """Send ``count`` datagrams, one each ``gap_s``, through the kernel's emulation.

    Raises NetemUnavailableError.
    """
    with _namespace() as name, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours:
        _wire(name, qdisc(profile, RTT_MS))
        ours.bind((OUR_ADDRESS, 0))
        ours.settimeout(0.2)
        arguments = json.dumps([OUR_ADDRESS, ours.getsockname()[1], count, gap_s, PAYLOAD_BYTES])
        sender = subprocess.Popen(["ip", "netns", "exec", name, sys.executable, "-c", SENDER, arguments])
        try:
            came, delays_s, over_s = np.zeros(count, np.int64), [], None
            while over_s is None or time.monotonic() < over_s:
                if over_s is None and sender.poll() is not None:
                    over_s = time.monotonic() + SETTLE_S
                try:
                    number, sent_s = ours.recv(2_048).split()
                except TimeoutError:
                    continue
                came[int(number)] += 1
                if came[int(number)] == 1:
                    delays_s.append(time.monotonic() - float(sent_s))
        finally:
            sender.kill()
            sender.wait()
    return _passage(came, np.array(delays_s))


def measure_emulator(profile: LinkProfile, count: int, gap_s: float, seed: int) -> LinkMeasurement:
    """The same by the emulated links, in no time; without detours."""
    queue = link_queue(np.array([seed], np.uint64), 2 * count, PAYLOAD_BYTES)
    for name, value in profile.direction(RTT_MS, profile.up_kbit_s).items():
        queue.links[name][0] = 0.0 if name == "detour" else value
    datagram = np.zeros(PAYLOAD_BYTES, np.uint8)
    came = np.array(
        [link_push(queue, 0, datagram, PAYLOAD_BYTES, number * gap_s) for number in range(count)], np.int64
    )
    rows = queue.heap[: queue.counts[IN_FLIGHT]]
    numbers, first, copies = np.unique(
        (rows["number"] >> SLOT_BITS) - 1, return_index=True, return_counts=True
    )
    came[numbers] = copies
    return _passage(came, rows["due_s"][first] - numbers * gap_s)


def _passage(came: npt.NDArray[np.int64], delays_s: npt.NDArray[np.float64]) -> LinkMeasurement:
    lost = came == 0
    runs = int(np.count_nonzero(lost[1:] & ~lost[:-1])) + int(lost[0])
    arrived = max(1, int(np.count_nonzero(~lost)))
    return LinkMeasurement(
        delay_ms=float(delays_s.mean() * 1e3) if len(delays_s) else 0.0,
        lost=float(lost.mean()),
        run=float(lost.sum()) / runs if runs else 0.0,
        twice=float(np.count_nonzero(came > 1)) / arrived,
    )


@contextmanager
def _namespace() -> Iterator[str]:
    name = f"launchday-{os.getpid()}"
    _run("ip", "netns", "add", name)
    try:
        yield name
    finally:
        _run("ip", "netns", "delete", name)


def _wire(name: str, line: list[str]) -> None:
    ours, theirs = f"ld{os.getpid()}a", f"ld{os.getpid()}b"
    inside = ("ip", "netns", "exec", name)
    _run("ip", "link", "add", ours, "type", "veth", "peer", "name", theirs, "netns", name)
    _run("ip", "address", "add", f"{OUR_ADDRESS}/30", "dev", ours)
    _run("ip", "link", "set", ours, "up")
    _run(*inside, "ip", "address", "add", f"{THEIR_ADDRESS}/30", "dev", theirs)
    _run(*inside, "ip", "link", "set", theirs, "up")
    if line:
        _run(*inside, "tc", "qdisc", "add", "dev", theirs, "root", *line)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    if done.returncode:
        raise NetemUnavailableError(f"{' '.join(command)}: {done.stderr.strip()}")


def compare(profiles: dict[str, LinkProfile], seconds: float, hz: float = 500.0) -> list[dict[str, Any]]:
    """Each kind of link by both emulators. Raises NetemUnavailableError."""
    if reason := why_unavailable():
        raise NetemUnavailableError(reason)
    count = round(seconds * hz)
    return [
        {
            "line": name,
            "netem": measure_netem(profile, count, 1 / hz).as_json(),
            "ours": measure_emulator(profile, count, 1 / hz, seed=1).as_json(),
        }
        for name, profile in profiles.items()
    ]
