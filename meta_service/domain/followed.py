"""Streams of the cache as others follow them, page by page, each by a cursor of their own.

A stream has a part in every partition. A cursor has a place in each part, and is one opaque text to whoever
follows: with one partition the id of the last entry that was read, with more of them ``~`` and all the places
packed as tightly as they go, since they lie close together: 6 bytes each for those of the last hour.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Sequence

from redis.asyncio import Redis

from meta_service.cache import packed
from meta_service.cache.packed import Command

BEGINNING = "0-0"
MAX_PAGE = 1_000  # entries an answer, or one of each part: 1 ms of the cache
MARK = "~"  # of a cursor with several places; it needs no escape in an address

Entry = tuple[str, dict[str, str]]
Place = tuple[int, int]
"""Where an entry stands in its part of a stream: milliseconds and number, as in its id."""

_START: Place = (0, 0)


async def entries_after(redis: Redis, parts: Sequence[str], cursor: str) -> tuple[list[Entry], str]:
    """The entries after a cursor, the oldest first, at most MAX_PAGE; after BEGINNING: all that are kept. And
    the cursor behind them.

    Args:
        redis: a client of the region's cache.
        parts: the stream's keys, one a partition.
        cursor: BEGINNING, or what was returned before.

    A place that is ahead of its part is of a part that the cache has lost: then that begins anew, and all do
    after a cursor that is none of these. Errors are redis-py's.
    """
    places = _read(cursor, len(parts))
    newest = await packed.ask(redis, [_newest(part) for part in parts])
    ahead = [  # whose newest entry is not where we stand
        (index, _START if place_of(found[0][0]) < places[index] else places[index])
        for index, found in enumerate(newest)
        if found and place_of(found[0][0]) != places[index]
    ]
    if not ahead:
        return [], _written(places)
    most = max(MAX_PAGE // len(ahead), 1)
    pages = await packed.ask(redis, [_after(parts[index], place, most) for index, place in ahead])
    entries: list[Entry] = []
    for (index, _), page in zip(ahead, pages, strict=True):
        if page:
            places[index] = place_of(page[-1][0])
            entries += [(id_, dict(zip(flat[::2], flat[1::2], strict=True))) for id_, flat in page]
    if len(ahead) > 1:
        entries.sort(key=lambda entry: place_of(entry[0]))
    return entries, _written(places)


def place_of(entry_id: str) -> Place:
    """An entry's place, to be compared."""
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds), int(number)


def _newest(part: str) -> Command:
    return packed.command(part, "XREVRANGE", part, "+", "-", "COUNT", 1)


def _after(part: str, place: Place, most: int) -> Command:
    return packed.command(part, "XRANGE", part, f"({place[0]}-{place[1]}", "+", "COUNT", most)


def _read(cursor: str, parts: int) -> list[Place]:
    """The places of a cursor; the beginning of each where it is of another number of parts, or none."""
    if parts == 1 and not cursor.startswith(MARK):
        return [place_of(cursor)]
    try:
        packed_places = base64.urlsafe_b64decode(cursor.removeprefix(MARK) + "==")
        numbers = list(_numbers(packed_places))
    except (binascii.Error, ValueError):
        numbers = []
    if not cursor.startswith(MARK) or len(numbers) != 1 + 2 * parts:
        return [_START] * parts
    last, rest = numbers[0], numbers[1:]
    return [
        (last - before, number - 1) if number else _START
        for before, number in zip(rest[::2], rest[1::2], strict=True)
    ]


def _written(places: Sequence[Place]) -> str:
    """Places as a cursor: the latest time, then of each how long before it is, and its number plus one."""
    if len(places) == 1:
        return f"{places[0][0]}-{places[0][1]}"
    last = max(milliseconds for milliseconds, _ in places)
    if not last:
        return BEGINNING
    numbers = [last]
    for place in places:
        numbers += [last - place[0], place[1] + 1] if place != _START else [0, 0]
    text = base64.urlsafe_b64encode(b"".join(map(_varint, numbers))).decode()
    return MARK + text.rstrip("=")


def _varint(number: int) -> bytes:
    """A number, seven bits a byte, the lowest first; the last byte's highest bit is not set."""
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


def _numbers(text: bytes) -> Iterator[int]:
    number = shift = 0
    for byte in text:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            yield number
            number = shift = 0
    if shift:
        raise ValueError("a number without an end")
