"""``tokens``: what it costs to sign a token, to verify it the first time and again, with each algorithm.

The floor takes turns with them: one HMAC over what was signed, which is the least that HS256 costs. The
first look at a token is paid once a token and process; every request after it pays ``remembered_us``.
"""

from __future__ import annotations

import hmac
import itertools
import secrets
import time
import tracemalloc
from collections.abc import Callable
from typing import Any, Final, TypeVar

import numpy as np

from launchday.identity import EDDSA, HS256, PLAYER, REFRESH, Key, KeySet, Signer
from launchday.identity.remembered import MAX_REMEMBERED

A = TypeVar("A")
B = TypeVar("B")
T = TypeVar("T")

BATCH: Final = 500
REPEATS: Final = 60
NOW: Final = 1_700_000_000.0
TTL_S: Final = 900.0


def run(repeats: int = REPEATS, batch: int = BATCH) -> dict[str, Any]:
    """Measure both algorithms in turns and return what is printed, in microseconds of processor time."""
    signers = {
        HS256: Signer(secrets.token_hex(32)),
        EDDSA: Signer(KeySet([Key.of_seed(secrets.token_bytes(32), (PLAYER, REFRESH))])),
    }
    players = itertools.count(1)
    took: dict[str, dict[str, list[float]]] = {
        name: {"sign": [], "verify": [], "remembered": []} for name in signers
    }
    floor: list[float] = []
    key = secrets.token_bytes(32)
    for _ in range(repeats):
        for name, signer in signers.items():
            ids = list(itertools.islice(players, batch))
            sign_us, tokens = _us(_sign_all, signer, ids)
            took[name]["sign"].append(sign_us)
            for what in ("verify", "remembered"):
                took[name][what].append(_us(_verify, signer, tokens)[0])
            floor.append(_us(_hmac, key, [token.rpartition(".")[0].encode() for token in tokens])[0])
    hmac_us = float(np.median(floor))
    figures = {
        name: {f"{what}_us": round(float(np.median(each)), 2) for what, each in by_what.items()}
        for name, by_what in took.items()
    }
    return {
        "bench": "tokens",
        "hmac_us": round(hmac_us, 2),
        **figures,
        "token_bytes": {name: len(_sign(signer, 1)) for name, signer in signers.items()},
        "remembered_bytes": _bytes_each(signers[HS256]),
        "remembered_at_most": MAX_REMEMBERED,
        "ratio": round(figures[EDDSA]["remembered_us"] / hmac_us, 2),
    }


def _sign(signer: Signer, player_id: int) -> str:
    return signer.player_token(player_id, NOW, TTL_S, f"{player_id:016x}")


def _sign_all(signer: Signer, player_ids: list[int]) -> list[str]:
    return [_sign(signer, player_id) for player_id in player_ids]


def _verify(signer: Signer, tokens: list[str]) -> None:
    for token in tokens:
        signer.verify(token, NOW)


def _hmac(key: bytes, texts: list[bytes]) -> None:
    for text in texts:
        hmac.digest(key, text, "sha256")


def _us(work: Callable[[A, list[B]], T], given: A, each: list[B]) -> tuple[float, T]:
    """Do some work for each; return the microseconds of one, and what it gave."""
    began = time.process_time_ns()
    found = work(given, each)
    return (time.process_time_ns() - began) / len(each) / 1e3, found


def _bytes_each(signer: Signer, count: int = 5_000) -> int:
    """Memory that one remembered token takes."""
    tokens = [_sign(signer, 10**12 + number) for number in range(count)]
    signer.use(signer.keys)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        _verify(signer, tokens)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return round((after - before) / count)
