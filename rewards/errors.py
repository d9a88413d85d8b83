"""The errors of this service.

RewardsError
├── RulesError             the data file of rules does not make sense
├── StoreUnavailableError  the store is away: pause, try again, lose nothing
├── RefusedByStoreError    the store refuses the data themselves: retrying never helps
├── StalledError           the broker has records for us and the consumer does not get them
├── LakeInUseError         another process writes to the folder of Parquet files
├── QueryError             a question about the events cannot be answered
├── LettersError           dead letters cannot be read or sent
└── RebuildError           progression cannot be rebuilt from the log
"""

from __future__ import annotations


class RewardsError(Exception):
    """Base of the errors of rewards."""


class RulesError(RewardsError):
    """Raised at start when the rules cannot be read or do not make sense. Mend the file that the message names."""


class StoreUnavailableError(RewardsError):
    """Raised when the store cannot be reached, is starting, lacks its tables, or gave up a transaction. Try again."""


class StoreRefusedError(RewardsError):
    """Raised when a batch holds something the store will never take. Split the batch to find it."""


class ConsumerStalledError(RewardsError):
    """Raised when records wait in a partition and none arrives (aiokafka issues 718, 847). Make a new consumer."""


class LakeInUseError(RewardsError):
    """Raised when the folder of Parquet files has a writer already. Wait until it ends, or give another folder."""


class QueryError(RewardsError):
    """Raised when a query is wrong or there are no events to ask about. The message is one line that says what to do."""


class DeadLettersError(RewardsError):
    """Raised when the dead-letter topic cannot be read or letters not be sent. The message is one line that says why."""


class RebuildError(RewardsError):
    """Raised when progression cannot be rebuilt from the log. The message is one line that says what to do."""
