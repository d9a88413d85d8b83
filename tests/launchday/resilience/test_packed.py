"""What we pack is what redis-py packs."""

from __future__ import annotations

import pytest
from redis.asyncio import Connection

from launchday.resilience.packed import Argument, begin, pack, pack_names


def test_a_command_is_packed_as_redis_py_does() -> None:
    arguments: list[Argument] = ["EVALSHA", b"\x00\xff\r\n", 7, 0.5, "größer", ""]
    packed = begin(len(arguments)) + pack(arguments)
    assert packed == b"".join(Connection().pack_command(*arguments))


@pytest.mark.parametrize("ends", [[], ["a"], ["ab", "cd", "ef"], ["1", "22", "333"]])
def test_names_of_one_form_are_packed_like_any(ends: list[str]) -> None:
    assert pack_names("{mm}:player:", ends) == pack([f"{{mm}}:player:{end}" for end in ends])
