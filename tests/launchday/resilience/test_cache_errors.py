"""What a cache says while it is away reads as that, in whatever words; what is our fault does not."""

from __future__ import annotations

import pytest
from redis._parsers.base import BaseParser
from redis.exceptions import ConnectionError as NoConnectionError
from redis.exceptions import RedisClusterException, SlotNotCoveredError

from launchday.resilience.cache_errors import is_away


def answered(said: str) -> Exception:
    """The error that redis-py makes of an answer."""
    error: Exception = BaseParser.parse_error(said)  # type: ignore[no-untyped-call]
    return error


@pytest.mark.parametrize(
    "said",
    [
        "MOVED 10453 127.0.0.1:7101",
        "ASK 10453 127.0.0.1:7101",
        "TRYAGAIN Multiple keys request during rehashing of slot",
        "CLUSTERDOWN The cluster is down",
        "CLUSTERDOWN Hash slot not served",
        "READONLY You can't write against a read only replica.",
        "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
        "LOADING Valkey is loading the dataset in memory",
        "OOM command not allowed when used memory > 'maxmemory'.",
        "NOREPLICAS Not enough good replicas to write.",
        "MISCONF Valkey is configured to save RDB snapshots, but it's currently unable to persist to disk.",
        "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
    ],
)
def test_a_cache_that_is_away_is_told_by_its_words(said: str) -> None:
    assert is_away(answered(said))


@pytest.mark.parametrize("error", [NoConnectionError(), RedisClusterException(), SlotNotCoveredError()])
def test_what_the_client_itself_raises_counts_too(error: Exception) -> None:
    assert is_away(error)


@pytest.mark.parametrize("said", ["WRONGTYPE Operation against a key", "ERR unknown command", "NOPERM no"])
def test_other_errors_are_no_outage(said: str) -> None:
    assert not is_away(answered(said))
