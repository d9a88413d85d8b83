"""``launchday events dead-letters``: what an operator sees of bad records, and resends."""

from __future__ import annotations

import asyncio
import json

import pytest
from aiokafka import AIOKafkaProducer
from typer.testing import CliRunner

from launchday.settings import Settings
from rewards import cli, dead_letters
from rewards.dead_letters import DeadLetterWriter
from rewards.errors import DeadLettersError
from rewards.events import DEAD_LETTERS, PLAYER, Envelope, ensure_topics
from rewards.records import BadRecord, RawRecord
from tests.rewards.examples import a_grant, a_kill
from tests.rewards.running import applied, progression, running, send

RUN = CliRunner()


def a_letter(settings: Settings, offset: int, value: bytes, reason: str = "was bad") -> BadRecord:
    return BadRecord(
        RawRecord(PLAYER.name(settings.topic_prefix), 3, offset, b"1", value, 1_800_000_000_000), reason
    )


@pytest.fixture
async def some_letters(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Three letters, one of them on the topic twice: two that are good by now, one that is not.

    Returns their origins.
    """
    monkeypatch.setattr(cli, "_settings", lambda: settings)
    await ensure_topics(settings.kafka_bootstrap, settings.topic_prefix)
    good = [a_grant(1, 10).SerializeToString(), a_grant(1, 20).SerializeToString()]
    writer = DeadLetterWriter(settings.kafka_bootstrap, settings.topic_prefix)
    first, second, third = (
        a_letter(settings, 7, good[0]),
        a_letter(settings, 8, b"junk"),
        a_letter(settings, 9, good[1], "the store\u2019s reason"),
    )
    await writer.send([first, second])
    await writer.send([second, third])
    await writer.close()
    return [f"{PLAYER.name(settings.topic_prefix)}/3/{offset}" for offset in (7, 8, 9)]


def test_list_shows_each_letter_once_with_its_reason(some_letters: list[str]) -> None:
    found = RUN.invoke(cli.app, ["dead-letters", "list", "--json"])
    rows = [json.loads(line) for line in found.stdout.splitlines()]
    assert [row["origin"] for row in rows] == some_letters
    assert [bool(row["current_error"]) for row in rows] == [False, True, False]
    assert rows[2]["reason"] == "the store\u2019s reason"
    assert "3 dead letters" in RUN.invoke(cli.app, ["dead-letters", "list"]).stdout


@pytest.mark.parametrize("limit", [1, 2, 20])
async def test_the_newest_are_read_from_the_end_of_the_topic(
    limit: int, some_letters: list[str], settings: Settings
) -> None:
    found = await dead_letters.read_newest(settings.kafka_bootstrap, settings.topic_prefix, limit)
    assert len(found) == min(limit, 3)
    assert {letter.origin for letter in found} <= set(some_letters)


async def test_letters_are_listed_shown_and_resent_on_either_broker(
    either_broker: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "_settings", lambda: either_broker)
    bootstrap, prefix = either_broker.kafka_bootstrap, either_broker.topic_prefix
    kill = a_kill(1, 2)
    kill.kill.weapon = "a\0b"
    bad = [kill.SerializeToString(), b"junk", b""]
    async with running(either_broker) as rewards:
        await send(either_broker, [a_grant(1, 10), *((value, b"1") for value in bad), a_grant(1, 20)])
        await applied(rewards, 5, either_broker)

        def run(*arguments: str) -> str:
            found = RUN.invoke(cli.app, ["dead-letters", *arguments])
            assert found.exit_code == 0, found.stderr
            return found.stdout

        rows = [json.loads(line) for line in (await asyncio.to_thread(run, "list", "--json")).splitlines()]
        assert sorted(row["reason"].partition(":")[0] for row in rows) == [
            "event_id is not a UUIDv7 of 16 bytes",
            "not an envelope",
            "weapon contains a NUL",
        ]
        of_kill = next(row["origin"] for row in rows if "NUL" in row["reason"])
        assert "weapon" in json.loads(await asyncio.to_thread(run, "show", of_kill))["readable"]
        newest = await dead_letters.read_newest(bootstrap, prefix, 2)
        assert {letter.origin for letter in newest} <= {row["origin"] for row in rows}
        assert len(newest) == 2
        assert "1 resent" in await asyncio.to_thread(run, "resend", "--force", of_kill)
        await applied(rewards, 6, either_broker)
    assert (await progression(either_broker.store_url))[1][0] == 30


async def test_a_record_that_is_too_large_for_a_letter_is_cut(settings: Settings) -> None:
    await ensure_topics(settings.kafka_bootstrap, settings.topic_prefix)
    writer = DeadLetterWriter(settings.kafka_bootstrap, settings.topic_prefix)
    await writer.send([a_letter(settings, 1, b"x" * 1_100_000), a_letter(settings, 2, b"small")])
    await writer.close()
    found = await dead_letters.read_all(settings.kafka_bootstrap, settings.topic_prefix)
    assert sorted(len(letter.value) for letter in found) == [5, 65_536]
    assert any("the first 65536 of its 1100000 bytes" in letter.reason for letter in found)


async def test_a_topic_without_letters_has_no_newest(settings: Settings) -> None:
    await ensure_topics(settings.kafka_bootstrap, settings.topic_prefix)
    assert await dead_letters.read_newest(settings.kafka_bootstrap, settings.topic_prefix, 5) == []


def test_show_prints_the_record_and_what_can_be_read_of_it(some_letters: list[str]) -> None:
    first = json.loads(RUN.invoke(cli.app, ["dead-letters", "show", some_letters[0]]).stdout)
    assert "xp_granted" in first["readable"]
    second = json.loads(RUN.invoke(cli.app, ["dead-letters", "show", some_letters[1]]).stdout)
    assert (second["value"], second["readable"]) == ("anVuaw==", None)


async def test_a_letter_that_is_good_by_now_counts_once_however_often_it_is_sent(
    settings: Settings, some_letters: list[str]
) -> None:
    found = await dead_letters.read_all(settings.kafka_bootstrap, settings.topic_prefix)
    good = [letter for letter in found if not letter.current_error]
    async with running(settings) as rewards:
        await dead_letters.resend(settings.kafka_bootstrap, good)
        await dead_letters.resend(settings.kafka_bootstrap, good)
        await applied(rewards, 2, settings)
    assert (await progression(settings.store_url))[1][0] == 30


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--all"], "2 resent; 1 still bad skipped"),
        (["--all", "--force"], "3 resent\n"),
        ([1], "0 resent; 1 still bad skipped"),
        ([0, 2], "2 resent\n"),
    ],
)
def test_resend_says_what_it_sent_and_skips_what_is_still_bad(
    some_letters: list[str], arguments: list[str | int], message: str
) -> None:
    words = [some_letters[each] if isinstance(each, int) else each for each in arguments]
    found = RUN.invoke(cli.app, ["dead-letters", "resend", *words])
    assert found.exit_code == 0, found.stderr
    assert message in found.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["resend"], 2, "--all"),
        (["resend", "a/1/2"], 1, "no dead letter came from a/1/2"),
        (["show", "nonsense"], 1, "no dead letter came from nonsense"),
        (["list", "--kafka", "127.0.0.1:9"], 1, "cannot read"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    some_letters: list[str], arguments: list[str], code: int, words: str
) -> None:
    found = RUN.invoke(cli.app, ["dead-letters", *arguments])
    assert found.exit_code == code
    assert words in found.stderr
    assert len(found.stderr.strip().splitlines()) == 1


async def test_a_bus_without_the_topic_is_said(settings: Settings) -> None:
    with pytest.raises(DeadLettersError, match="there is no topic"):
        await dead_letters.read_all(settings.kafka_bootstrap, "nobodys")


async def test_a_record_without_our_headers_is_listed_all_the_same(settings: Settings) -> None:
    await ensure_topics(settings.kafka_bootstrap, settings.topic_prefix)
    kafka = AIOKafkaProducer(bootstrap_servers=settings.kafka_bootstrap)
    await kafka.start()
    await kafka.send_and_wait(DEAD_LETTERS.name(settings.topic_prefix), Envelope().SerializeToString(), b"k")
    await kafka.stop()
    (letter,) = await dead_letters.read_all(settings.kafka_bootstrap, settings.topic_prefix)
    assert letter.current_error
