"""Streams that lie in several partitions are followed by one cursor."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from meta_service.cache.keys import MAX_PARTITIONS
from meta_service.domain import followed
from meta_service.domain.followed import BEGINNING, entries_after
from meta_service.routes.message_route import Cursor

PARTS = ["{a}:s", "{b}:s", "{c}:s"]
PATTERN = re.compile(Cursor.__metadata__[0].metadata[0].pattern)  # type: ignore[attr-defined]

PLACES = st.one_of(
    st.just((0, 0)), st.tuples(st.integers(1_700_000_000_000, 2_000_000_000_000), st.integers(0, 100_000))
)


async def numbers_after(redis: Redis, cursor: str) -> tuple[list[str], str]:
    entries, behind = await entries_after(redis, PARTS, cursor)
    return [fields["n"] for _, fields in entries], behind


async def add(redis: Redis, part: int, milliseconds: int, number: str) -> None:
    await redis.xadd(PARTS[part], {"n": number}, id=f"{milliseconds}-1")


async def test_what_came_since_is_read_of_every_part_the_oldest_first(redis: Redis) -> None:
    assert await numbers_after(redis, BEGINNING) == ([], BEGINNING)
    await add(redis, 2, 10, "one")
    await add(redis, 0, 20, "two")
    found, cursor = await numbers_after(redis, BEGINNING)
    assert found == ["one", "two"]
    assert await numbers_after(redis, cursor) == ([], cursor)
    await add(redis, 1, 15, "late")
    await add(redis, 2, 30, "three")
    found, behind = await numbers_after(redis, cursor)
    assert found == ["late", "three"]
    assert PATTERN.fullmatch(behind)


async def test_a_part_that_was_lost_begins_anew_and_so_do_all_after_a_foreign_cursor(redis: Redis) -> None:
    for part, at in ((0, 10), (1, 20)):
        await add(redis, part, at, f"old {part}")
    _, cursor = await numbers_after(redis, BEGINNING)
    await redis.delete(PARTS[1])
    await add(redis, 1, 5, "anew")
    assert (await numbers_after(redis, cursor))[0] == ["anew"]
    for foreign in ("99-0", "~", "~AAAA", cursor[:-2]):
        assert (await numbers_after(redis, foreign))[0] == ["anew", "old 0"]


async def test_pages_are_bounded_and_together_they_are_everything(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(followed, "MAX_PAGE", 4)
    for number in range(12):
        await add(redis, number % 2, 100 + number, str(number))
    cursor, found = BEGINNING, set[str]()
    while True:
        page, cursor = await numbers_after(redis, cursor)
        assert len(page) <= 4
        if not page:
            break
        found.update(page)
    assert found == set(map(str, range(12)))


@given(st.lists(PLACES, min_size=2, max_size=8))
def test_a_cursor_holds_every_place(places: list[tuple[int, int]]) -> None:
    cursor = followed._written(places)
    assert PATTERN.fullmatch(cursor)
    assert followed._read(cursor, len(places)) == places


def test_a_cursor_of_the_most_parts_is_short_enough_for_an_address() -> None:
    places = [(1_700_000_000_000 + number * 10**8, 10**6) for number in range(MAX_PARTITIONS)]
    assert len(followed._written(places)) < 4096
