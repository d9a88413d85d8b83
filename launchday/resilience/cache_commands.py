"""What a command is about: its key, which decides its node in a cluster, and whether it changes anything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis.cluster import READ_COMMANDS  # type: ignore[attr-defined]

KEY_AFTER_COUNT = {"EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO", "FCALL", "FCALL_RO"}
"""Commands whose second argument is a number of keys; none of them may follow."""

KEY_AFTER_SMALL_COUNT = {"ZUNION", "ZINTER", "ZDIFF", "SINTERCARD", "ZINTERCARD", "LMPOP", "ZMPOP"}
KEY_AFTER_WORD = {"XREAD": "STREAMS", "XREADGROUP": "STREAMS"}
OF_THE_SERVER = {
    *("ACL", "AUTH", "BGREWRITEAOF", "BGSAVE", "CLIENT", "CLUSTER", "COMMAND", "CONFIG", "DBSIZE", "DEBUG"),
    *("ECHO", "FAILOVER", "FLUSHALL", "FLUSHDB", "FUNCTION", "HELLO", "INFO", "KEYS", "LASTSAVE", "LATENCY"),
    *("LOLWUT", "MEMORY STATS", "MEMORY PURGE", "MEMORY DOCTOR", "MODULE", "PING", "PUBLISH", "RANDOMKEY"),
    *("REPLICAOF", "ROLE", "SAVE", "SCAN", "SCRIPT", "SELECT", "SHUTDOWN", "SLOWLOG", "SWAPDB", "TIME"),
    *("WAIT", "WAITAOF"),
}
ON_EVERY_PRIMARY = {
    *("CONFIG SET", "FLUSHALL", "FLUSHDB", "SCRIPT FLUSH", "SCRIPT LOAD"),
}
"""Commands without a key that a cluster's client sends to each primary; it returns the first one's answer."""

KEEP_NOTHING = READ_COMMANDS | {"XINFO", "OBJECT", "MEMORY USAGE", "XREADGROUP"}
"""Commands after which no replica is waited for. What XREADGROUP changes is but who reads what."""


def key_of(arguments: Sequence[Any]) -> Any | None:
    """The first key of a command as redis-py has it, str or bytes; None where it is about no key."""
    name = arguments[0]
    if name in KEY_AFTER_COUNT:
        return arguments[3] if int(arguments[2]) > 0 else None
    if name in KEY_AFTER_SMALL_COUNT:
        return arguments[2]
    if name in KEY_AFTER_WORD:
        words = [each.upper() if isinstance(each, str) else each for each in arguments]
        word = KEY_AFTER_WORD[name]
        return arguments[(words.index(word) if word in words else words.index(word.encode())) + 1]
    if name in OF_THE_SERVER or name.partition(" ")[0] in OF_THE_SERVER or len(arguments) < 2:
        return None
    return arguments[1]


def changes(arguments: Sequence[Any]) -> bool:
    """Whether a replica is waited for after it: it has a key, and may change what lies there."""
    name = arguments[0]
    if name in KEEP_NOTHING or name.partition(" ")[0] in KEEP_NOTHING:
        return False
    return key_of(arguments) is not None
