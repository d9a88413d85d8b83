"""The generated parts of PROTOCOL.md: field tables, sizes, reasons to drop, test vectors.

``python -m dedicated_server.protocol.document`` writes them into the document; a test fails when they
differ from the code.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from uuid import UUID

import numpy as np

from dedicated_server.cards import shipped_cards
from dedicated_server.native.mmsg import sockaddr
from dedicated_server.protocol import (
    client_kinds,
    connect_token,
    datagrams,
    entities,
    fields,
    layout,
    reasons,
    reliable_kinds,
)
from dedicated_server.protocol.client.receive import client_receive
from dedicated_server.protocol.client.sessions import ClientSessions
from dedicated_server.protocol.client.transmit import client_transmit
from dedicated_server.protocol.datagrams import ROW_BYTES
from dedicated_server.protocol.delta import (
    CODE_WORDS,
    LONGEST_CODE_BITS,
    tight_bits,
    write_difference,
    write_whole,
)
from dedicated_server.protocol.entity_table import COMMON_FIELDS, ENTITY_KINDS, RECORD_WORDS, WHOLE_BITS
from dedicated_server.protocol.fields import HISTORY_TICKS
from dedicated_server.protocol.server import paths
from dedicated_server.protocol.server.wire import ServerWire
from dedicated_server.protocol.tables import Table, length_of
from launchday import startup

DOCUMENT = Path(__file__).parent / "PROTOCOL.md"
VECTORS = Path(__file__).parent / "vectors.json"
_SECTION = re.compile(r"(<!-- generated: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)

FLEET_KEY = bytes(range(32))
SECRET = bytes(range(100, 148))
TOKEN_RANDOM = bytes(range(148, 236))
MATCH_ID = UUID("0192f0c1-2f60-7a3b-8c4d-5e6f708192a3")
NOW_S = 1_800_000_000.0


def main() -> None:
    """Rewrite the generated sections in place, and the file of vectors."""
    DOCUMENT.write_text(render(DOCUMENT.read_text()))
    VECTORS.write_text(vectors_json())


def render(text: str) -> str:
    """The document with its generated sections as the code has them now."""
    made = sections()
    return _SECTION.sub(lambda match: f"{match[1]}\n{made[match[2]]}\n\n{match[3]}", text)


def sections() -> dict[str, str]:
    """Every generated section by name."""
    return {
        "entity-fields": _entity_table(),
        "match-fields": _field_table(fields.MATCH_FIELDS),
        "score-fields": _field_table(fields.SCORE_FIELDS),
        "objective-fields": _field_table(fields.OBJECTIVE_FIELDS),
        "vitals-fields": _field_table(fields.VITALS_FIELDS),
        "hint-fields": _field_table(fields.HINT_FIELDS),
        "snapshot-fields": _field_table(fields.SNAPSHOT_FIELDS),
        "reliable-head-fields": _field_table(reliable_kinds.RELIABLE_HEAD_FIELDS),
        "reliable-fields": _table(
            ("kind", "to", "field", "bits", "zero bits are", "meaning"),
            (
                (f"{kind.number} {kind.name}", kind.to, field.name, field.bits, field.least, field.meaning)
                for kind in reliable_kinds.RELIABLE_KINDS
                for field in kind.table
            ),
        ),
        "lengths": _table(
            ("who", "byte", "table", "bits here"),
            (
                (who, place, name, length_of(table))
                for who, tables in (("client", layout.CLIENT_TABLES), ("server", layout.SERVER_TABLES))
                for place, (name, table) in enumerate(tables.items())
            ),
        ),
        "client-fields": _field_table(fields.CLIENT_MESSAGE_FIELDS),
        "input-fields": _field_table(fields.INPUT_FIELDS),
        "modes": _table(
            ("mode", "full speed", "map: half its side", "boxes", "respawn", "health is shown to"),
            (
                (
                    card.name,
                    f"{card.speed_m_per_s:g} m/s",
                    f"{card.map_half_m:g} m",
                    len(card.boxes),
                    f"{card.respawn_s:g} s",
                    card.shows.health,
                )
                for card in shipped_cards().values()
            ),
        ),
        "weapons": _table(
            ("mode", "weapon", "name", "damage", "interval", "range"),
            (
                (
                    card.name,
                    place,
                    weapon.name,
                    f"{weapon.damage_points:g} points",
                    f"{weapon.interval_ticks} inputs",
                    f"{weapon.range_m:g} m",
                )
                for card in shipped_cards().values()
                for place, weapon in enumerate(card.weapons)
            ),
        ),
        "sizes": _table(("what", "value"), _sizes()),
        "tight-bits": _table(("baseline age, ticks", "bits of dx and of dy"), _tight_widths()),
        "drop-reasons": " · ".join(f"`{reason}`" for reason in datagrams.DROP_REASONS),
        "farewell-fields": _field_table(fields.FAREWELL_FIELDS),
        "client-says-fields": _field_table(client_kinds.CLIENT_SAYS_FIELDS),
        "client-ping-fields": _field_table(client_kinds.CLIENT_PING_FIELDS),
        "reasons": _table(
            ("number", "name", "said by", "meaning"),
            ((each.number, f"`{each.name}`", ", ".join(each.said), each.meaning) for each in reasons.REASONS),
        ),
        "vectors": _table(
            ("vector", "bytes"), ((name, f"`{data.hex()}`") for name, data in vectors().items())
        ),
    }


def vectors_json() -> str:
    """The file of test vectors: each by name, in hexadecimal."""
    return json.dumps({name: data.hex() for name, data in vectors().items()}, indent=1) + "\n"


def vectors() -> dict[str, bytes]:
    """One whole exchange with everything fixed, of either cipher, as made by the kernels."""
    made: dict[str, bytes] = {}
    for cipher, name in connect_token.CIPHERS.items():
        for step, data in _exchange(cipher).items():
            made[f"{name}, {step}"] = data
    return made | _records()


def _records() -> dict[str, bytes]:
    """Of each kind a record at (1000, 2000) units whose own fields are 3, 4 … by their place in the table, or
    as large as they can be: whole; then two differences to it, to (1007, 1993), and to a record whose fields
    are all as large as they can be.
    """
    made: dict[str, bytes] = {}
    for kind, (name, own) in enumerate(ENTITY_KINDS.items()):
        table = (*COMMON_FIELDS[1:], *own)
        values = {field.name: min(number, (1 << field.bits) - 1) for number, field in enumerate(table, 1)}
        base = np.array(entities.record_of(kind, values | {"x": 1_000, "y": 2_000}))
        near = np.array(entities.record_of(kind, values | {"x": 1_007, "y": 1_993}))
        far = np.array(entities.record_of(kind, {field.name: (1 << field.bits) - 1 for field in table}))
        whole, tight, absolute = np.zeros((3, CODE_WORDS + 1), np.uint64)
        for what, code, bits in (
            ("whole", whole, write_whole(whole, base)),
            ("tight difference, age 3", tight, write_difference(tight, near, base, 3)),
            ("absolute difference", absolute, write_difference(absolute, far, base, 3)),
        ):
            made[f"{name}, {what}, {bits} bits"] = code.tobytes()[: (bits + 7) // 8]
    return made


def _exchange(cipher: int) -> dict[str, bytes]:
    token = connect_token.seal(
        FLEET_KEY, match_id=MATCH_ID, player_id=1000, entity=0, team=4, address="203.0.113.7", port=7001,
        other_address="2001:db8::7",
        issued_at=NOW_S - 1, expires_at=NOW_S + 60, cipher=cipher, random=TOKEN_RANDOM,
    )  # fmt: skip
    wire = ServerWire(
        fleet_key=FLEET_KEY, match_id=MATCH_ID, player_ids=[1000, 1001, 1002], host="203.0.113.7", port=7001,
        other_host="2001:db8::7", secret=SECRET, teams=[4, 4, 5], names=["Ada", "Zoë"],
    )  # fmt: skip
    clients = ClientSessions(1, 3)
    clients.add(token)
    made = {"connect token": token}
    room = np.zeros(ROW_BYTES, np.uint8)
    world = np.array([entities.pack_player(10.0 * e, -20.0, 1.0, 100, entities.FLAG_ALIVE) for e in range(3)])
    everybody = np.tile(np.arange(3, dtype=np.int32), (3, 1))
    names = (
        ("request", "challenge"),
        ("response", "snapshot, whole records"),
        ("inputs", "snapshot, differences"),
    )
    for tick, (said, answered) in enumerate(names, start=1):
        length = client_transmit(
            clients.state, 0, NOW_S + tick / 60, 100, -50, 16_384, fields.BUTTON_FIRE, 0.0, room
        )
        made[said] = room[:length].tobytes()
        sender = sockaddr("198.51.100.1", 40_000)
        wire.open_batch(
            room[None, :], np.array([length], np.int32), sender[None, :], 1, NOW_S + tick / 60, tick
        )
        world += np.array([5 << entities.X.at, *[0] * (RECORD_WORDS - 1)])
        none = np.zeros(3, np.int32)
        wire.encode_batch(
            tick,
            world,
            everybody,
            np.full(3, 3, np.int32),
            everybody,
            none,
            np.zeros(fields.MATCH_COLUMNS, np.int32),
            none,
        )
        wire.seal_batch(NOW_S + tick / 60)
        length = int(wire.out_len[0])
        made[answered] = wire.out_buf[0, :length].tobytes()
        client_receive(clients.state, 0, wire.out_buf[0], length, NOW_S + tick / 60)
    request = np.frombuffer(made["request"], np.uint8)[None, :]
    wire.open_batch(request, np.array([len(made["request"])], np.int32), sender[None, :], 1, NOW_S + 60, 4)
    made["refusal"] = wire.out_buf[0, : int(wire.out_len[0])].tobytes()
    return made


def _sizes() -> list[tuple[str, object]]:
    return [
        ("datagram, at most", f"{datagrams.MAX_DATAGRAM_BYTES} bytes"),
        ("connect token", f"{connect_token.TOKEN_BYTES} bytes"),
        ("its request part", f"{connect_token.REQUEST_PART_BYTES} bytes"),
        ("request", f"{datagrams.REQUEST_BYTES} bytes"),
        ("challenge", f"{datagrams.CHALLENGE_BYTES} bytes"),
        ("response", f"{datagrams.RESPONSE_BYTES} bytes"),
        ("refusal", f"{datagrams.REFUSAL_BYTES} bytes"),
        ("unsealed answer", f"{datagrams.VERSION_BYTES} bytes"),
        ("header of a sealed datagram to the server", f"{datagrams.UP_HEADER_BYTES} bytes"),
        ("… to a client", f"{datagrams.DOWN_HEADER_BYTES} bytes"),
        ("tag", "AEGIS-128L 32 bytes, ChaCha20-Poly1305 16 bytes"),
        ("replay window", f"{datagrams.REPLAY_WINDOW} sequence numbers"),
        *(
            (f"whole record of kind {number}, {name}", f"{WHOLE_BITS[number]} bits")
            for number, name in enumerate(ENTITY_KINDS)
        ),
        ("longest record", f"{LONGEST_CODE_BITS} bits"),
        ("baselines kept", f"{HISTORY_TICKS - 1} ticks"),
        ("a challenge is valid for", f"{datagrams.CHALLENGE_S:g} s"),
        ("a request or response is repeated every", f"{datagrams.REPEAT_S:g} s"),
        ("keep-alive after", f"{datagrams.KEEP_ALIVE_S:g} s of silence"),
        ("time-out after", f"{datagrams.TIME_OUT_S:g} s of silence"),
        ("a client asks again when a response is not answered for", f"{datagrams.ASK_AGAIN_S:g} s"),
        ("requests looked at in one batch", datagrams.REQUESTS_PER_BATCH),
        (
            "responses looked at in one batch",
            f"{datagrams.LEAST_RESPONSES_PER_BATCH}, or one for {datagrams.PLAYERS_PER_RESPONSE} players",
        ),
        ("unsealed answers in one batch", datagrams.UNSEALED_PER_BATCH),
        ("after an unsealed answer a client gives up in", f"{datagrams.UNSEALED_PATIENCE_S:g} s"),
        ("a farewell is repeated every", f"{datagrams.FAREWELL_REPEAT_S:g} s"),
        ("and so often, unless it is answered", datagrams.FAREWELL_REPEATS),
        ("a slot begins at most one session in", f"{datagrams.SESSION_S:g} s"),
        ("an unproved address is sent at most", f"{paths.AMPLIFICATION} times what came from it"),
        ("it is proved by", f"{paths.PROOFS} snapshots"),
    ]


def _tight_widths() -> list[tuple[str, object]]:
    rows: dict[int, list[int]] = {}
    for age in range(1, HISTORY_TICKS):
        rows.setdefault(int(tight_bits(age)), []).append(age)
    return [(f"{ages[0]}–{ages[-1]}", bits) for bits, ages in rows.items()]


def _modes() -> list[tuple[str, str, str]]:
    cards = shipped_cards().values()
    return [(card.name, f"{card.speed_m_per_s:g} m/s", f"{card.map_half_m:g} m") for card in cards]


def _field_table(table: Table) -> str:
    """A table with the values of zero bits where there is one that they do not stand for 0 in."""
    if any(field.least for field in table):
        rows = ((field.name, field.bits, field.least, field.meaning) for field in table)
        return _table(("field", "bits", "zero bits are", "meaning"), rows)
    return _table(("field", "bits", "meaning"), ((each.name, each.bits, each.meaning) for each in table))


def _entity_table() -> str:
    rows = [("all", *field[:4]) for field in COMMON_FIELDS]
    for number, (name, fields_of_kind) in enumerate(ENTITY_KINDS.items()):
        rows += [(f"{number} {name}", *field[:4]) for field in fields_of_kind]
    return _table(("kind", "field", "bits", "difference", "meaning"), rows)


def _table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    lines = [tuple(head)]
    lines.append(("---",) * len(lines[0]))
    lines += [tuple(str(cell) for cell in row) for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    startup.prepare()
    main()
