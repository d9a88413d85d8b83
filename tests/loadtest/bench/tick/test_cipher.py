"""The ciphers' benchmark seals what the wire seals."""

from __future__ import annotations

import numpy as np
import pytest

from dedicated_server.protocol import connect_token, datagrams
from loadtest.bench.tick import cipher
from loadtest.bench.tick.cipher import open_many, seal_many
from tests.dedicated_server.protocol import oracle


@pytest.mark.parametrize("cipher", sorted(connect_token.CIPHERS))
@pytest.mark.parametrize("size", cipher.SIZES)
def test_what_is_timed_is_a_datagram_as_the_wire_has_it(cipher: int, size: int) -> None:
    key = np.arange(32, dtype=np.uint8)
    plain = np.random.default_rng(size).integers(0, 256, size, dtype=np.uint8)
    out = np.zeros(datagrams.MAX_DATAGRAM_BYTES + 16, np.uint8)
    out[0], sequence = datagrams.FROM_SERVER, 2
    out[1] = sequence

    sealed_bytes = seal_many(cipher, key, plain, out, sequence + 1)

    made = out[: datagrams.DOWN_HEADER_BYTES + sealed_bytes].tobytes()
    assert made == oracle.seal(cipher, key.tobytes(), datagrams.FROM_SERVER, sequence, plain.tobytes())
    back = np.zeros(datagrams.MAX_DATAGRAM_BYTES, np.uint8)
    assert open_many(cipher, key, out, sealed_bytes, back, 2) == size
    assert (back[:size] == plain).all()
    out[datagrams.DOWN_HEADER_BYTES] ^= 1
    assert open_many(cipher, key, out, sealed_bytes, back, 1) == -1


def test_both_ciphers_are_timed_and_one_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cipher, "REPEATS", 2)
    found = cipher.run()
    assert found["chosen"] in connect_token.CIPHERS.values()
    for name in connect_token.CIPHERS.values():
        for what in ("seal_us", "open_us"):
            assert len(found[name][what]) == len(cipher.SIZES)
            assert all(took_us > 0.0 for took_us in found[name][what].values())
