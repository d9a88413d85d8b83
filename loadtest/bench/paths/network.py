"""Hosts and the lines between them: network namespaces, and pairs of virtual Ethernet devices.

How it is used::

    with Network() as network:
        server, player = network.host("server"), network.host("player")
        up, down = network.join(server, "10.1.0.1/24", player, "10.1.0.2/24")
        with server.entered():
            ...  # sockets opened here belong to the server's namespace for good

A namespace lives as long as this process holds its descriptor, so all of it is gone with the process,
however that ends. Whoever calls needs to be root in the namespace that it began in.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self

from loadtest.bench.loopback import raise_loopback
from loadtest.errors import BenchError

CLONE_NEWNET: Final = 0x40000000
OWN_NAMESPACE: Final = "/proc/thread-self/ns/net"
DEVICE_CHARACTERS: Final = 15  # of a name that Linux takes
_libc = ctypes.CDLL(None, use_errno=True)


class Host:
    """A machine, or a router: a namespace with a loopback. Methods raise BenchError where Linux refuses."""

    def __init__(self, name: str) -> None:
        self.name = name
        with _back_afterwards():
            _check(_libc.unshare(CLONE_NEWNET), "a network namespace")
            self._descriptor = os.open(OWN_NAMESPACE, os.O_RDONLY)
            raise_loopback()

    def close(self) -> None:
        """Let go of it; it ends with the last process and socket in it."""
        os.close(self._descriptor)

    @property
    def path(self) -> str:
        """Where it can be found by other programs while this process lives."""
        return f"/proc/{os.getpid()}/fd/{self._descriptor}"

    def command(self, *command: str) -> list[str]:
        """The command line that runs ``command`` on this host."""
        return ["nsenter", f"--net={self.path}", *command]

    def run(self, *command: str) -> str:
        """Run a command on this host; return what it printed."""
        return _run(*self.command(*command))

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Be on this host: sockets opened by this thread meanwhile are its own."""
        with _back_afterwards():
            _check(_libc.setns(self._descriptor, CLONE_NEWNET), f"the namespace of {self.name}")
            yield

    def route(self, destination: str, via: str) -> None:
        """Send what goes to ``destination`` (a prefix or ``default``) by way of another host's address."""
        family = "-6" if ":" in via else "-4"
        self.run("ip", family, "route", "replace", destination, "via", via)

    def forward(self) -> None:
        """Be a router of both families."""
        self._set("net/ipv4/ip_forward", "1")
        self._set("net/ipv6/conf/all/forwarding", "1")

    def masquerade(self, device: str, *, other_ports: bool = False) -> None:
        """Be a NAT, as those of homes and of mobile carriers: what leaves by ``device`` has its address.

        It keeps the ports of what passes where they are free; with ``other_ports`` it draws others.
        """
        drawn = ("--random-fully",) if other_ports else ()
        rule = ("-A", "POSTROUTING", "-o", device, "-j", "MASQUERADE", *drawn)
        self.run("iptables", "-w", "-t", "nat", *rule)

    def forget_flows(self, device: str, address: str) -> None:
        """Forget, as a NAT, who sent what leaves by ``device``: it loses its address for a moment."""
        for change in ("delete", "add"):
            self.run("ip", "address", change, address, "dev", device)

    def map_one_to_one(self, public: str, private: str) -> None:
        """Be a 1:1 NAT, as those of clouds: whoever has ``private`` is ``public`` to everybody else."""
        for chain, old, target, new in (
            ("PREROUTING", ("-d", public), "DNAT", ("--to-destination", private)),
            ("POSTROUTING", ("-s", private), "SNAT", ("--to-source", public)),
        ):
            self.run("iptables", "-w", "-t", "nat", "-A", chain, *old, "-j", target, *new)

    def throttle(self, device: str, kbit_s: float, queue_s: float) -> None:
        """Let no more than ``kbit_s`` leave by ``device``; so much of it waits as takes ``queue_s``."""
        shape = ("rate", f"{kbit_s:g}kbit", "burst", "2kb", "latency", f"{queue_s * 1e3:g}ms")
        self.run("tc", "qdisc", "replace", "dev", device, "root", "tbf", *shape)

    def unthrottle(self, device: str) -> None:
        """Let everything leave by ``device`` again."""
        self.run("tc", "qdisc", "delete", "dev", device, "root")

    def set_up(self, device: str, up: bool) -> None:
        """Connect or disconnect a device."""
        self.run("ip", "link", "set", device, "up" if up else "down")

    def _set(self, key: str, value: str) -> None:
        with self.entered():
            try:
                Path("/proc/sys", key).write_text(value)
            except OSError as error:
                raise BenchError(f"{key} of {self.name} cannot be set: {error.strerror}") from None


class Network:
    """The hosts of one case; leaving the context ends them."""

    def __init__(self) -> None:
        self.hosts: list[Host] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for host in self.hosts:
            host.close()

    def host(self, name: str) -> Host:
        """A new host."""
        made = Host(name)
        self.hosts.append(made)
        return made

    def join(
        self, one: Host, ones: str | tuple[str, ...], other: Host, others: str | tuple[str, ...]
    ) -> tuple[str, str]:
        """Lay a line between two hosts; return the name of the device at each end.

        Args:
            one, other: the hosts.
            ones, others: addresses of each end, with the prefix's length: ``10.1.0.1/24``.
        """
        names = _device(f"to-{other.name}"), _device(f"to-{one.name}")
        ends = ((one, names[0], ones), (other, names[1], others))
        peer = ("peer", "name", names[1], "netns", other.path)
        one.run("ip", "link", "add", "name", names[0], "type", "veth", *peer)
        for host, device, addresses in ends:
            for address in (addresses,) if isinstance(addresses, str) else addresses:
                # The address of IPv6 is there at once, and not after nobody else has claimed it.
                host.run("ip", "address", "add", address, "dev", device, *(("nodad",) * (":" in address)))
            host.set_up(device, True)
        return names


def _device(name: str) -> str:
    return name[:DEVICE_CHARACTERS]


@contextlib.contextmanager
def _back_afterwards() -> Iterator[None]:
    """Be in this thread's namespace again when it ends."""
    before = os.open(OWN_NAMESPACE, os.O_RDONLY)
    try:
        yield
    finally:
        _libc.setns(before, CLONE_NEWNET)
        os.close(before)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["it said nothing"]
        raise BenchError(f"{' '.join(command[2:])}: {said[-1]}")
    return done.stdout


def _check(result: int, what: str) -> None:
    if result != 0:
        raise BenchError(f"{what}: {os.strerror(ctypes.get_errno())}")
