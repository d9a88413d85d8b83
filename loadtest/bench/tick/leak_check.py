"""What can be read in datagrams that were overheard: secrets in any form, and places that are more predictable than chance."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from uuid import UUID


def forms_of_id(name: str, number: int) -> dict[str, bytes]:
    """All that an id looks like when nobody hides it."""
    return {
        f"{name}, little endian": number.to_bytes(8, "little"),
        f"{name}, big endian": number.to_bytes(8, "big"),
        f"{name}, decimal": str(number).encode(),
        f"{name}, hexadecimal": f"{number:x}".encode(),
    }


def forms_of_match(match_id: UUID) -> dict[str, bytes]:
    """All that a match id looks like."""
    return {
        "match id": match_id.bytes,
        "match id, little endian": match_id.bytes_le,
        "match id, hexadecimal": match_id.hex.encode(),
        "match id, canonical": str(match_id).encode(),
    }


def forms_of_name(name: str) -> dict[str, bytes]:
    """All that a name looks like."""
    return {
        f"name {name}": name.encode(),
        f"name {name}, UTF-16": name.encode("utf-16-le"),
        f"name {name}, backwards": name.encode()[::-1],
    }


def readable_secrets(payloads: Iterable[bytes], secrets: Mapping[str, bytes]) -> list[str]:
    """Which of the ``secrets`` stand somewhere in one of the ``payloads``."""
    joined = b"\x00\xff\x00\xff".join(payloads)
    return sorted(what for what, form in secrets.items() if form in joined or form.upper() in joined)


def entropy_bits(data: bytes) -> float:
    """Shannon entropy of the bytes of ``data``, in bits a byte."""
    total = len(data)
    return -sum(count / total * math.log2(count / total) for count in Counter(data).values())


def excess_bits(data: bytes) -> float:
    """How much less entropy ``data`` has than as many random bytes would be expected to have, in bits a byte.

    A sample of n random bytes falls short of 8 bits by 255 / (2 n ln 2) on average (Miller 1955).
    """
    return 8.0 - 255 / (2 * len(data) * math.log(2)) - entropy_bits(data)


def worst_column(bodies: list[bytes], columns: int) -> tuple[int, float]:
    """The place within the datagrams that is the most predictable, and by how many bits."""
    excess = {
        column: excess_bits(bytes(body[column] for body in bodies if len(body) > column))
        for column in range(columns)
    }
    worst = max(excess, key=excess.__getitem__)
    return worst, excess[worst]
