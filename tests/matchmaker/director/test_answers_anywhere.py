"""A new server is asked at every address that its fleet tells."""

from __future__ import annotations

import asyncio

import pytest

from matchmaker.director.server_search import answers_anywhere

PUBLIC, OTHER, INTERNAL = "203.0.113.10", "2001:db8::10", "10.0.0.10"


class Probe:
    """Answers at some addresses, and never says a word at the others."""

    def __init__(self, *answering: str) -> None:
        self.answering = answering
        self.asked: list[str] = []
        self.given_up: list[str] = []

    async def __call__(self, host: str, _port: int, _token: bytes) -> bool:
        self.asked.append(host)
        try:
            return host in self.answering or await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.given_up.append(host)
            raise


@pytest.mark.parametrize("answering", [PUBLIC, OTHER, INTERNAL])
async def test_it_is_there_where_any_of_its_addresses_answers_and_the_others_are_given_up(
    answering: str,
) -> None:
    probe = Probe(answering)

    assert await answers_anywhere(probe, (PUBLIC, OTHER, INTERNAL), 7_001, b"token")

    assert sorted(probe.asked) == sorted((PUBLIC, OTHER, INTERNAL))
    assert sorted([*probe.given_up, answering]) == sorted(probe.asked)


async def test_it_is_not_there_where_none_answers() -> None:
    async def silent(*_: object) -> bool:
        return False

    assert not await answers_anywhere(silent, (PUBLIC, INTERNAL), 7_001, b"token")


async def test_what_a_probe_raises_is_raised() -> None:
    async def refused(*_: object) -> bool:
        raise OSError("refused")

    with pytest.raises(OSError, match="refused"):
        await answers_anywhere(refused, (PUBLIC, INTERNAL), 7_001, b"token")
