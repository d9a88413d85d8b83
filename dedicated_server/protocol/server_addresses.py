"""Where a game server is reached, as its fleet tells it and as connect tokens name it.

A fleet tells hosts: addresses or names, one for everybody and a list beside it (Agones' ``status.address``
and ``status.addresses``). A connect token names IP literals: one, or one of each family.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

from dedicated_server.protocol.connect_token import family_of

# Of Kubernetes' types of addresses: one that players reach, and one within the server's own network.
EXTERNAL, INTERNAL = "ExternalIP", "InternalIP"


@dataclass(frozen=True, slots=True)
class ServerAddresses:
    """The hosts of one game server.

    Attributes:
        public: what players are given, one or two; the first is Agones' ``address``.
        internal: within the server's own network, where that is another; "": there is none.
    """

    public: tuple[str, ...]
    internal: str = ""

    @property
    def address(self) -> str:
        """The first that players are given."""
        return self.public[0]

    @property
    def other(self) -> str:
        """The second of them; "": there is none."""
        return self.public[1] if len(self.public) > 1 else ""

    @property
    def everywhere(self) -> tuple[str, ...]:
        """All hosts at which the server may answer."""
        return (*self.public, self.internal) if self.internal else self.public

    def as_json(self) -> list[dict[str, str]]:
        """Return Agones' ``addresses``; empty where there is none beside ``address``."""
        if len(self.public) == 1 and not self.internal:
            return []
        told = [{"type": EXTERNAL, "address": address} for address in self.public]
        return told + ([{"type": INTERNAL, "address": self.internal}] if self.internal else [])

    @classmethod
    def parse(cls, address: str, addresses: Any) -> Self:
        """Read what Agones tells. Raises TypeError, LookupError and ValueError where it is malformed."""
        told = [(str(each["type"]), str(each["address"])) for each in addresses or ()]
        public = dict.fromkeys([address, *(host for kind, host in told if kind == EXTERNAL)])
        internal = [host for kind, host in told if kind == INTERNAL and host not in public]
        return cls(tuple(public), internal[0] if internal else "")


async def literals_of(hosts: Sequence[str]) -> tuple[str, str]:
    """Return the IP literals of hosts as a token has them: the first, and "" or one of the other family.

    Names are looked up, for tokens hold none. Raises OSError where none of the hosts has an address.
    """
    found: list[str] = []
    fault: OSError | None = None
    for host in hosts:
        try:
            found += await _literals(host)
        except OSError as error:
            fault = error
    if not found:
        raise fault or OSError("a server without any address")
    first = found[0]
    return first, next((each for each in found if family_of(each) != family_of(first)), "")


async def _literals(host: str) -> Iterable[str]:
    try:
        return [str(ipaddress.ip_address(host))]
    except ValueError:
        infos = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_DGRAM)
    # IPv4 first: which of the two is the first one may not depend on who looks the name up.
    return [str(info[4][0]) for info in sorted(infos, key=lambda info: info[0] != socket.AF_INET)]
