"""``cipher``: the time that each of the two ciphers takes to seal and to open a datagram on this machine.

The figures decided which cipher tokens name.
"""

from __future__ import annotations

import time
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from numba import njit

from dedicated_server.native.compilation import STAGE
from dedicated_server.protocol import connect_token, sealing
from dedicated_server.protocol.datagrams import DOWN_HEADER_BYTES, MAX_DATAGRAM_BYTES
from loadtest.bench.harness.statistics import percentiles

SIZES: Final = (
    64,
    350,
    MAX_DATAGRAM_BYTES - DOWN_HEADER_BYTES - sealing.MAX_TAG_BYTES,
)  # a snapshot on the map, one with everybody in sight, the largest datagram
BATCH: Final = 1_000
REPEATS: Final = 50


@njit(cache=True, nogil=True, **STAGE)
def seal_many(
    cipher: int,
    key: npt.NDArray[np.uint8],
    plain: npt.NDArray[np.uint8],
    out: npt.NDArray[np.uint8],
    count: int,
) -> int:
    """Seal ``plain`` ``count`` times into ``out`` with the sequence numbers from 0 on; return the bytes of
    the last.

    ``key`` is uint8[32]; ``out`` is uint8 and longer than the longest datagram by a nonce.
    """
    nonce, header = out[MAX_DATAGRAM_BYTES:].ctypes.data, out.ctypes.data
    sealed = 0
    for sequence in range(count):
        sealing.write_sequence_nonce(out[MAX_DATAGRAM_BYTES:], sequence)
        sealed = sealing.seal(
            cipher, key.ctypes.data, nonce, header, DOWN_HEADER_BYTES, plain.ctypes.data, len(plain),
            header + DOWN_HEADER_BYTES,
        )  # fmt: skip
    return sealed


@njit(cache=True, nogil=True, **STAGE)
def open_many(
    cipher: int,
    key: npt.NDArray[np.uint8],
    sealed: npt.NDArray[np.uint8],
    sealed_bytes: int,
    plain: npt.NDArray[np.uint8],
    count: int,
) -> int:
    """Open what `seal_many` sealed last ``count`` times into ``plain``; return its number of bytes, or −1
    where it is forged.
    """
    nonce, header = sealed[MAX_DATAGRAM_BYTES:].ctypes.data, sealed.ctypes.data
    opened = 0
    for _ in range(count):
        opened = sealing.unseal(
            cipher, key.ctypes.data, nonce, header, DOWN_HEADER_BYTES,
            header + DOWN_HEADER_BYTES, sealed_bytes, plain.ctypes.data,
        )  # fmt: skip
    return opened


def run() -> dict[str, Any]:
    """Measure both ciphers in turns and return what is printed, in microseconds for each datagram."""
    key = np.arange(32, dtype=np.uint8)
    out = np.zeros(MAX_DATAGRAM_BYTES + sealing.SEQUENCE_NONCE_BYTES, np.uint8)
    back = np.zeros(MAX_DATAGRAM_BYTES, np.uint8)
    ciphers = sorted(connect_token.CIPHERS)
    took_us: dict[tuple[int, int, str], list[float]] = {}
    for _ in range(REPEATS + 1):  # the first compiles
        for size in SIZES:
            plain = np.zeros(size, np.uint8)
            for cipher in ciphers:
                began_ns = time.perf_counter_ns()
                sealed_bytes = seal_many(cipher, key, plain, out, BATCH)
                between_ns = time.perf_counter_ns()
                open_many(cipher, key, out, sealed_bytes, back, BATCH)
                ended_ns = time.perf_counter_ns()
                took_us.setdefault((cipher, size, "seal"), []).append((between_ns - began_ns) / BATCH / 1e3)
                took_us.setdefault((cipher, size, "open"), []).append((ended_ns - between_ns) / BATCH / 1e3)
    figures: dict[str, Any] = {
        "bench": "cipher",
        "chosen": connect_token.CIPHERS[connect_token.best_cipher()],
    }
    for cipher in ciphers:
        figures[connect_token.CIPHERS[cipher]] = {
            f"{what}_us": {
                f"{size} bytes": percentiles(took_us[cipher, size, what][1:], 50, digits=3)["p50"]
                for size in SIZES
            }
            for what in ("seal", "open")
        }
    return figures
