"""How long each end's tables are, said in the handshake: what makes additions to the wire compatible.

The rule, of one major version (`connect_token.MAJOR`): a table only grows, at its end; new kinds of reliable
messages and new kinds of entities may come. Each end says how many bits each of its tables has, in one byte:
the client of the tables that it writes in request and response, the server of its own in the challenge. The
other end skips what is behind the fields that it knows. A table that is not said, as its writer does not know
it, is 0 bits long: all of its fields read as zero bits. Everything else needs a new major version, and ends
of two majors do not talk.
"""

from __future__ import annotations

from typing import Final

from dedicated_server.protocol.datagrams import (
    CLIENT_LENGTHS_BYTES,
    SERVER_LENGTHS_BYTES,
)
from dedicated_server.protocol.entities import layout
from dedicated_server.protocol.fields import (
    CLIENT_MESSAGE_FIELDS,
    FAREWELL_FIELDS,
    HINT_FIELDS,
    INPUT_FIELDS,
    MATCH_FIELDS,
    OBJECTIVE_FIELDS,
    SCORE_FIELDS,
    SNAPSHOT_FIELDS,
    VITALS_FIELDS,
)
from dedicated_server.protocol.reliable_kinds import RELIABLE_HEAD_FIELDS
from dedicated_server.protocol.tables import Table, length_of

# In the order of their lengths; more are added behind.
CLIENT_TABLES: Final = {"client message": CLIENT_MESSAGE_FIELDS, "input": INPUT_FIELDS}
LENGTH_CLIENT_MESSAGE, LENGTH_INPUT = range(2)
SERVER_TABLES: Final = {
    "snapshot": SNAPSHOT_FIELDS,
    "reliable head": RELIABLE_HEAD_FIELDS,
    "match": MATCH_FIELDS,
    "score": SCORE_FIELDS,
    "objective": OBJECTIVE_FIELDS,
    "vitals": VITALS_FIELDS,
    "hints": HINT_FIELDS,
    "farewell": FAREWELL_FIELDS,
}
(
    LENGTH_SNAPSHOT,
    LENGTH_RELIABLE_HEAD,
    LENGTH_MATCH,
    LENGTH_SCORE,
    LENGTH_OBJECTIVE,
    LENGTH_VITALS,
    LENGTH_HINTS,
    LENGTH_FAREWELL,
) = range(8)


def lengths(tables: dict[str, Table], size: int) -> bytes:
    """The bits of each table, a byte each, filled up with zeros. Raises ValueError where one has too many."""
    bits = [length_of(table) for table in tables.values()]
    if len(bits) > size or max(bits) > 255:
        raise ValueError(f"tables of {bits} bits do not fit {size} bytes")
    return bytes(bits).ljust(size, b"\0")


CLIENT_LENGTHS: Final = lengths(CLIENT_TABLES, CLIENT_LENGTHS_BYTES)
SERVER_LAYOUT: Final = lengths(SERVER_TABLES, SERVER_LENGTHS_BYTES) + layout()
