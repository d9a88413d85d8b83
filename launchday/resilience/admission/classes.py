"""Classes of requests: which routes belong together, and how many of them may be under way at once.

A limit is fixed by the resource that it protects: a pool's connections, processes that hash, one event loop.
Nothing here adapts: with twice the load no controller was seen to do better than the fixed number (docs/
decisions.md). ``launchday doctor`` shows all of them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from launchday.resilience.admission.request_bytes import request_line
from launchday.resilience.admission.waiting_line import LineLimits

MAX_KNOWN_LINES = 4096  # request lines whose class is remembered: 0.1 µs instead of 2
MAX_KNOWN_LINE_BYTES = 128


@dataclass(frozen=True, slots=True)
class AdmissionClass:
    """Requests that share a limit.

    Attributes:
        name: in a word, as in metrics and in ``launchday doctor``.
        limit: how many may be under way at once; None: as many as there are connections.
        protects: the resource that decided the limit, for whoever reads it.
        routes: ``METHOD /path``; ``*`` stands for any method and for one part of a path, ``**`` at the end
            for any rest, ``?name`` for a query that has this name. Empty: whatever belongs to no other class.
        line: how long the line of those who wait may be.
        per_source_s: requests a second from one address, with a burst of four seconds' worth; 0: no limit.
            The loopback is exempt: what has no other address comes from this machine.
        bounded: a request without a deadline gets ``deadline.MAX_REQUEST_S``. False for long polls and
            streams, which wait on purpose.
    """

    name: str
    limit: int | None
    protects: str
    routes: tuple[str, ...] = ()
    line: LineLimits = field(default_factory=LineLimits)
    per_source_s: float = 0.0
    bounded: bool = True


OPERATIONS = AdmissionClass(
    "operations",
    None,
    "nothing: whoever supervises is always answered",
    ("GET /healthz", "GET /readyz", "GET /metrics"),
)
WAITING_PROTECTS = "nothing: they hold a connection and a task of 10 KB, no pool"
OTHERS = AdmissionClass("requests", 64, "the event loop: 64 at 1 ms are 64 ms of waiting")


class AdmissionClasses:
    """The classes of one service, asked in their order; health and metrics come before all of them.

    Args:
        classes: the last one has no routes and gets whatever is left.

    Raises:
        ValueError: the last one has routes, or another has none.
    """

    def __init__(self, *classes: AdmissionClass) -> None:
        if not classes or classes[-1].routes or not all(each.routes for each in classes[:-1]):
            raise ValueError("the last class has no routes, and all others have some")
        self.all: Sequence[AdmissionClass] = (OPERATIONS, *classes)
        self._pattern = re.compile(
            b"|".join(
                b"(?P<c%d>%s)" % (number, b"|".join(map(_pattern, each.routes)))
                for number, each in enumerate(self.all[:-1])
            ),
            re.DOTALL,
        )
        self._known: dict[bytes, int] = {}

    def number_of(self, data: bytes | bytearray) -> int:
        """Return the place in ``all`` of the class of the request whose bytes begin ``data``."""
        line = bytes(data[: max(data.find(b"\r\n"), 0)])
        number = self._known.get(line)
        if number is None:
            found = self._pattern.fullmatch(request_line(data))
            number = len(self.all) - 1
            if found is not None and found.lastgroup is not None:
                number = int(found.lastgroup[1:])
            if len(line) <= MAX_KNOWN_LINE_BYTES:
                if len(self._known) >= MAX_KNOWN_LINES:
                    self._known.clear()
                self._known[line] = number
        return number


def _pattern(route: str) -> bytes:
    method, _, target = route.partition(" ")
    path, _, query = target.partition("?")
    parts = [re.escape(part) if part != "*" else "[^/?]+" for part in path.removesuffix("/**").split("/")]
    text = ("[A-Z]+" if method == "*" else re.escape(method)) + " " + "/".join(parts)
    if path.endswith("/**"):
        text += r"(?:/[^?]*)?"
    text += rf"\?(?:.*&)?{re.escape(query)}=.*" if query else r"/?(?:\?.*)?"
    return text.encode()


DEFAULT = AdmissionClasses(OTHERS)
"""Of a service that names no classes."""
