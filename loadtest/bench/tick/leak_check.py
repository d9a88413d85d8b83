"""What can be read in captured datagrams: secrets in any form, and bytes that are more predictable than
chance.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from uuid import UUID


def forms_of_id(name: str, number: int) -> dict[str, bytes]:
    """Return the forms of an id in plaintext, by name."""
    return {
        f"{name}, little endian": number.to_bytes(8, "little"),
        f"{name}, big endian": number.to_bytes(8, "big"),
        f"{name}, decimal": str(number).encode(),
        f"{name}, hexadecimal": f"{number:x}".encode(),
    }


def forms_of_match(match_id: UUID) -> dict[str, bytes]:
    """Return the forms of a match id in plaintext, by name."""
    return {
        "match id": match_id.bytes,
        "match id, little endian": match_id.bytes_le,
        "match id, hexadecimal": match_id.hex.encode(),
        "match id, canonical": str(match_id).encode(),
    }


def forms_of_name(name: str) -> dict[str, bytes]:
    """Return the forms of a player's name in plaintext, by name."""
    return {
        f"name {name}": name.encode(),
        f"name {name}, UTF-16": name.encode("utf-16-le"),
        f"name {name}, backwards": name.encode()[::-1],
    }


def readable_secrets(payloads: Iterable[bytes], secrets: Mapping[str, bytes]) -> list[str]:
    """Return which of the ``secrets`` (name → form) one of the ``payloads`` contains, sorted."""
    joined = b"\x00\xff\x00\xff".join(payloads)
    return sorted(what for what, form in secrets.items() if form in joined or form.upper() in joined)


def entropy_bits(data: bytes) -> float:
    """Return the Shannon entropy of the bytes of ``data``, in bits a byte."""
    total = len(data)
    return -sum(count / total * math.log2(count / total) for count in Counter(data).values())


def excess_bits(data: bytes) -> float:
    """Return how much less entropy ``data`` has than the same number of random bytes, in bits a byte.

    A sample of n random bytes falls short of 8 bits by 255 / (2 n ln 2) on average (Miller 1955).
    """
    return 8.0 - 255 / (2 * len(data) * math.log(2)) - entropy_bits(data)


def worst_column(bodies: list[bytes], columns: int) -> tuple[int, float]:
    """Return the most predictable of the first ``columns`` bytes of the datagrams, and its excess bits."""
    excess = {
        column: excess_bits(bytes(body[column] for body in bodies if len(body) > column))
        for column in range(columns)
    }
    worst = max(excess, key=excess.__getitem__)
    return worst, excess[worst]
