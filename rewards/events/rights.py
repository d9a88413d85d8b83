"""What each of our programs does with Kafka: the access control lists that it needs, and no more.

docs/operating.md has it as a table; the tests on a secured broker run with exactly these.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from launchday.resilience.bus import Bus
from rewards.events.topics import DEAD_LETTERS, MATCH, PLAYER, PROGRESS, Topic, tool_line


@dataclass(frozen=True, slots=True)
class Right:
    """What somebody may do.

    Attributes:
        resource: "topic" or "group".
        suffix: its name after the prefix and a dot.
        operations: as kafka-acls.sh calls them.
    """

    resource: str
    suffix: str
    operations: tuple[str, ...]

    def name(self, prefix: str) -> str:
        """The full name of the topic or group."""
        return f"{prefix}.{self.suffix}"


def _topic(topic: Topic, *operations: str) -> Right:
    return Right("topic", topic.suffix, operations)


_READ = ("Read", "DescribeConfigs")  # it asks how long records are kept

RIGHTS: Mapping[str, tuple[Right, ...]] = MappingProxyType(
    {
        "rewards": (
            _topic(PLAYER, *_READ, "Write"),  # it writes purchases and loadouts, out of the outbox
            _topic(MATCH, *_READ),
            _topic(PROGRESS, "Write"),
            _topic(DEAD_LETTERS, "Read", "Write"),
            Right("group", "rewards", ("Read",)),
        ),
        "analytics": (
            _topic(PLAYER, *_READ),
            _topic(MATCH, *_READ),
            _topic(PROGRESS, *_READ),
            Right("group", "analytics", ("Read",)),
        ),
        "game servers and the fleet": (_topic(PLAYER, "Write"), _topic(MATCH, "Write")),
        "launchday events": (
            _topic(PLAYER, "Read", "Write"),
            _topic(MATCH, "Read", "Write"),
            _topic(DEAD_LETTERS, "Read"),
        ),
        "launchday flood": (_topic(PLAYER, "Read"), _topic(MATCH, "Read")),
    }
)
"""By program. Each of ``Read`` and ``Write`` has ``Describe`` in it (KIP-277)."""

SERVICES = ("rewards", "analytics", "game servers and the fleet")
"""Those that run all the time."""


def acl_line(right: Right, operation: str, prefix: str, bus: Bus, user: str = "") -> str:
    """What whoever may change access control lists types to allow something."""
    words = [
        *tool_line("kafka-acls.sh", bus),
        "--add",
        "--allow-principal",
        f"User:{user or bus.user or '…'}",
    ]
    words += ["--operation", operation, f"--{right.resource}", right.name(prefix)]
    return " ".join(words)


def all_of(program: str, prefix: str) -> Iterator[tuple[str, str, str]]:
    """Each resource, its name and an operation that a program needs."""
    for right in RIGHTS[program]:
        for operation in right.operations:
            yield right.resource, right.name(prefix), operation
