"""The errors of rewards, one tree.

RewardsError
├── EventsError               base of what `rewards.events` raises
│   ├── BadEventError         a record that is not an event of ours
│   ├── SpoolDamagedError     a spool file whose tail cannot be trusted
│   └── BusUnavailableError   Kafka cannot be reached, or does not do what it was asked
│       └── TopicsMissingError  topics are missing, and creating them is forbidden: the text has the line
├── RulesError                the data file of rules does not make sense
├── StoreUnavailableError     the store does not answer: pause, try again, lose nothing
├── StoreRefusedError         the store refuses the data themselves: retrying never helps
├── ConsumerStalledError      the broker has records for us and the consumer does not get them
├── LogChangedError           a log is no longer the one that was read, or not all of it
├── RewardsUnavailableError   a running rewards service gave no usable answer
├── LakeInUseError            another process writes to the folder of Parquet files
├── QueryError                a question about the events cannot be answered
├── DeadLettersError          dead letters cannot be read or sent
└── RebuildError              progression cannot be rebuilt from the log
"""

from __future__ import annotations

from collections.abc import Sequence


class RewardsError(Exception):
    """Base of the errors of rewards."""


class EventsError(RewardsError):
    """Base of what the published package `rewards.events` raises, which exports all below this one."""


class BadEventError(EventsError):
    """Raised when bytes are not a valid event.

    The message is the dead letter's reason; retrying never helps.
    """


class SpoolDamagedError(EventsError):
    """Raised when a spool file is damaged. ``intact`` holds the events before the damage, which are good."""

    def __init__(self, reason: str, intact: Sequence[bytes]) -> None:
        super().__init__(reason)
        self.intact = tuple(intact)


class BusUnavailableError(EventsError):
    """Raised when the broker cannot be reached or refuses. The caller may try again."""


class TopicsMissingError(BusUnavailableError):
    """Raised when topics are missing that this user may not create. Have them created.

    Attributes:
        lines: the name of each, and the line to type.
    """

    def __init__(self, lines: Sequence[tuple[str, str]]) -> None:
        names = ", ".join(name for name, _ in lines)
        super().__init__(f"the topics {names} are missing, and may not be created here: {lines[0][1]}")
        self.lines = tuple(lines)


class RulesError(RewardsError):
    """Raised at start when the rules cannot be read or do not make sense.

    Mend the file that the message names.
    """


class StoreUnavailableError(RewardsError):
    """Raised when the store cannot be reached, is starting, lacks its tables, or gave up a transaction.

    Try again.
    """


class StoreRefusedError(RewardsError):
    """Raised when a batch holds something that the store will never take. Split the batch to find it."""


class ConsumerStalledError(RewardsError):
    """Raised when records wait in a partition and none arrives (aiokafka issues 718, 847).

    Make a new consumer.
    """


class LogChangedError(RewardsError):
    """Raised when a partition is not what was read of it. Go back to the stored offsets, and look again."""


class RewardsUnavailableError(RewardsError):
    """Raised when a running rewards service gave no usable answer. The caller may ask again."""


class LakeInUseError(RewardsError):
    """Raised when the folder of Parquet files has a writer already.

    Wait until it ends, or give another folder.
    """


class QueryError(RewardsError):
    """Raised when a query is wrong or there are no events. The message is one line that says what to do."""


class DeadLettersError(RewardsError):
    """Raised when the dead-letter topic cannot be read, or letters cannot be sent.

    The message is one line: why.
    """


class RebuildError(RewardsError):
    """Raised when progression cannot be rebuilt from the log.

    The message is one line that says what to do.
    """
