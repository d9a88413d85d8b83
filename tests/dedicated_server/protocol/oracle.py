"""The wire format again in plain Python, from PROTOCOL.md alone, sharing no code with the kernels."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, field

from nacl import bindings, exceptions

from tests.dedicated_server.protocol.entity_oracle import Record, read_delta, read_whole

MATCH_LAYOUT = (
    ("phase", 2),
    ("zone_x", 17),
    ("zone_y", 17),
    ("zone_radius", 17),
    ("alive", 12),
    ("countdown", 20),
    ("scores", 5),
    ("objectives", 4),
)
# Of each kind of reliable message: (field, bits, what zero bits stand for).
RELIABLE_LAYOUTS = {
    1: (("killer", 12, -1), ("victim", 11, 0), ("weapon", 3, 0), ("players_left", 12, 0), ("assist", 12, -1)),
    2: (("victim", 11, 0), ("points", 10, 0), ("input_tick", 16, 0)),
    3: (("placement", 12, 0), ("winner", 12, -1), ("kills", 16, 0)),
    4: (("entity", 11, 0), ("team", 12, 0), ("player", 63, 0), ("name_bytes", 6, 0)),
}
CLIENT_LENGTHS = bytes([96, 52, 0, 0, 0, 0, 0, 0])


class BitReader:
    """Bits of a byte string, lowest first."""

    def __init__(self, data: bytes) -> None:
        self.value = int.from_bytes(data, "little")
        self.left = 8 * len(data)

    def take(self, bits: int) -> int:
        if bits > self.left:
            raise ValueError("the stream ends early")
        taken = self.value & ((1 << bits) - 1)
        self.value >>= bits
        self.left -= bits
        return taken


class BitWriter:
    """The reverse of BitReader."""

    def __init__(self) -> None:
        self.value = 0
        self.bits = 0

    def put(self, value: int, bits: int) -> None:
        assert 0 <= value < 1 << bits
        self.value |= value << self.bits
        self.bits += bits

    def data(self) -> bytes:
        return self.value.to_bytes((self.bits + 7) // 8, "little")


def blake2(key: bytes, message: bytes, size: int) -> bytes:
    return hashlib.blake2b(message, key=key, digest_size=size).digest()


def seal(
    cipher: int, key: bytes, kind: int, sequence: int, plain: bytes, *, connection: bytes = b""
) -> bytes:
    """``connection``: the connection id, of a datagram to the server."""
    header = struct.pack("<B", kind) + connection + struct.pack("<I", sequence)
    if cipher == 2:
        nonce = sequence.to_bytes(16, "little")
        return header + bytes(bindings.crypto_aead_aegis128l_encrypt(plain, header, nonce, key[:16]))
    nonce = sequence.to_bytes(12, "little")
    return header + bytes(bindings.crypto_aead_chacha20poly1305_ietf_encrypt(plain, header, nonce, key))


def unseal(cipher: int, key: bytes, datagram: bytes) -> bytes | None:
    header_bytes = 9 if datagram[0] == 3 else 5
    header, sealed = datagram[:header_bytes], datagram[header_bytes:]
    sequence = int.from_bytes(header[-4:], "little")
    try:
        if cipher == 2:
            nonce = sequence.to_bytes(16, "little")
            return bytes(bindings.crypto_aead_aegis128l_decrypt(sealed, header, nonce, key[:16]))
        nonce = sequence.to_bytes(12, "little")
        return bytes(bindings.crypto_aead_chacha20poly1305_ietf_decrypt(sealed, header, nonce, key))
    except exceptions.CryptoError:
        return None


@dataclass
class Snapshot:
    """A decoded snapshot."""

    tick: int
    input_newest: int
    input_lag: int
    pace: int
    reliable: list[tuple[int, ...]]  # number, kind, then the kind's fields
    names: list[str]  # of the roster's messages among them
    match: dict[str, int] | None
    scores: list[int]
    objectives: list[tuple[int, int, int]]  # state, carrier, team
    vitals: dict[int, tuple[int, int]]  # entity: health, connected
    hints: int
    leaves: list[int]
    records: dict[int, Record]
    full: set[int]


def read_snapshot(plain: bytes, history: dict[int, dict[int, Record]]) -> Snapshot | None:
    """Decode; None is a keep-alive. ``history``: tick → entity → record of the snapshots received so far."""
    reader = BitReader(plain)
    if reader.take(2) == 0:
        return None
    tick, newest, lag, base_age, gap_bits, pace = (reader.take(bits) for bits in (24, 16, 6, 6, 4, 2))
    reliable: list[tuple[int, ...]] = []
    names: list[str] = []
    if reader.take(1):
        count, first = reader.take(4), reader.take(16)
        for number in range(count):
            kind, length = reader.take(4), reader.take(9)
            values = [reader.take(bits) + least for _, bits, least in RELIABLE_LAYOUTS[kind]]
            rest = length - sum(bits for _, bits, _ in RELIABLE_LAYOUTS[kind])
            text = bytes(reader.take(8) for _ in range(rest // 8))
            reliable.append(((first + number) & 0xFFFF, kind, *values))
            if kind == 4:
                assert len(text) == values[3]
                names.append(text.decode())
    match: dict[str, int] | None = None
    scores: list[int] = []
    objectives: list[tuple[int, int, int]] = []
    if reader.take(1):
        match = {name: reader.take(bits) for name, bits in MATCH_LAYOUT}
        scores = [reader.take(12) for _ in range(match["scores"])]
        objectives = [
            (reader.take(2), reader.take(12) - 1, reader.take(5)) for _ in range(match["objectives"])
        ]
    vitals: dict[int, tuple[int, int]] = {}
    if reader.take(1):
        for _ in range(reader.take(6)):
            entity = reader.take(11)
            vitals[entity] = (reader.take(7), reader.take(1))
    hints = reader.take(16) if reader.take(1) else 0
    leaves = [reader.take(11) for _ in range(reader.take(6))] if reader.take(1) else []
    records: dict[int, Record] = {}
    full = set()
    entity = -1
    for _ in range(reader.take(9)):
        gap = 0
        while reader.take(1):
            gap += 1 << gap_bits
        entity += 1 + gap + reader.take(gap_bits)
        age = reader.take(6) if reader.take(1) else base_age
        if age == 0:
            full.add(entity)
            records[entity] = read_whole(reader)
        else:
            records[entity] = read_delta(reader, history[tick - age][entity], age)
    assert reader.left < 8
    assert reader.value == 0
    return Snapshot(
        tick, newest, lag, pace, reliable, names, match, scores, objectives, vitals, hints, leaves, records,
        full,
    )  # fmt: skip


@dataclass(frozen=True)
class Input:
    """One client tick's input, as the server sees it."""

    move_x: int
    move_y: int
    yaw: int
    buttons: int
    view_tick: int
    view_fraction: int = 0  # sixteenths


def write_message(
    ack_tick: int,
    ack_bits: int,
    reliable_ack: int,
    input_tick: int,
    inputs: list[Input],
    *,
    repeat: bool = True,
) -> bytes:
    """An inputs message; ``inputs`` newest first."""
    writer = BitWriter()
    for value, bits in (
        (0, 2), (ack_tick & 0xFFFFFF, 24), (ack_bits, 32), (reliable_ack, 16), (input_tick & 0xFFFF, 16),
        (len(inputs), 5), (0, 1),
    ):  # fmt: skip
        writer.put(value, bits)
    newer: tuple[int, ...] | None = None
    for one in inputs:
        lag = min(max(ack_tick - one.view_tick, 0), 255)
        fraction = 15 if one.view_tick > ack_tick else one.view_fraction
        movement = (one.move_x + 128, one.move_y + 128, one.yaw, one.buttons)
        if newer is not None:
            repeated = (*newer[:4], newer[4] + 1, newer[5])
            off = abs((fraction - 16 * lag) - (repeated[5] - 16 * repeated[4]))
            near = movement == repeated[:4] and repeated[4] <= 255 and off <= (0 if one.buttons & 1 else 8)
            writer.put(int(repeat and near), 1)
            if repeat and near:
                newer = repeated
                continue
        newer = (*movement, lag, fraction)
        for value, bits in zip(newer, (8, 8, 16, 8, 8, 4), strict=True):
            writer.put(value, bits)
    return writer.data()


def read_message(plain: bytes) -> tuple[int, int, int, int, list[Input]]:
    """The reverse of `write_message`."""
    reader = BitReader(plain)
    assert reader.take(2) == 0
    ack_tick, ack_bits, reliable_ack, input_tick, count = (reader.take(bits) for bits in (24, 32, 16, 16, 5))
    assert reader.take(1) == 0  # no message of the client's
    inputs: list[Input] = []
    values: list[int] = []
    for number in range(count):
        if number and reader.take(1):
            values[4] += 1
        else:
            values = [reader.take(bits) for bits in (8, 8, 16, 8, 8, 4)]
        x, y, yaw, buttons, lag, fraction = values
        inputs.append(Input(x - 128, y - 128, yaw, buttons, ack_tick - lag, fraction))
    assert reader.left < 8
    assert reader.value == 0
    return ack_tick, ack_bits, reliable_ack, input_tick, inputs


@dataclass
class OracleClient:
    """A client of one match, from its connect token on."""

    token: bytes
    sequence: int = 0
    challenge: bytes = b""
    send_key: bytes = b""
    receive_key: bytes = b""
    connection: bytes = b""
    history: dict[int, dict[int, Record]] = field(default_factory=dict)
    view: dict[int, Record] = field(default_factory=dict)

    @property
    def cipher(self) -> int:
        return self.token[8]

    @property
    def up_key(self) -> bytes:
        return self.token[-64:-32]

    @property
    def down_key(self) -> bytes:
        return self.token[-32:]

    def request(self) -> bytes:
        return b"\x00" + self.token[:175] + CLIENT_LENGTHS

    def respond(self, challenge: bytes) -> bytes:
        assert len(challenge) == 113
        assert challenge[0] == 1
        tag = self.token[159:175]
        assert blake2(self.down_key, challenge[:97] + tag, 16) == challenge[97:]
        salt = challenge[1:25]
        self.send_key = blake2(self.up_key, b"\x05" + salt, 32)
        self.receive_key = blake2(self.down_key, b"\x05" + salt, 32)
        self.connection = self.token[-68:-66] + blake2(self.up_key, b"\x08" + salt, 16)[:2]
        self.sequence = 0
        response = b"\x02" + self.token[:175] + CLIENT_LENGTHS + challenge[1:49]
        return response + blake2(self.up_key, response, 16)

    def refused(self, refusal: bytes) -> tuple[int, int]:
        """The reason of a refusal, and the server's Unix time in milliseconds."""
        assert len(refusal) == 26
        assert refusal[0] == 6
        assert blake2(self.down_key, refusal[:10] + self.token[159:175], 16) == refusal[10:]
        return refusal[1], int.from_bytes(refusal[2:10], "little")

    def farewell(self, datagram: bytes) -> int | None:
        """The reason of a farewell; None where it says something else."""
        plain = unseal(self.cipher, self.receive_key, datagram)
        assert plain is not None
        return plain[0] >> 2 if plain[0] & 3 == 2 else None

    def seal(self, plain: bytes) -> bytes:
        self.sequence += 1
        return seal(self.cipher, self.send_key, 3, self.sequence - 1, plain, connection=self.connection)

    def open(self, datagram: bytes) -> Snapshot | None:
        assert datagram[0] == 4
        plain = unseal(self.cipher, self.receive_key, datagram)
        assert plain is not None
        snapshot = read_snapshot(plain, self.history)
        if snapshot is not None:
            self.history[snapshot.tick] = snapshot.records
            for entity in snapshot.leaves:
                self.view.pop(entity, None)
            self.view.update(snapshot.records)
        return snapshot
