"""Scripts name the keys that they use: what is known at once, the rest in as many calls as reading takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from launchday.clock import SystemClock
from launchday.settings import Settings
from matchmaker.queue import scripts as scripts_module
from matchmaker.queue.scripts import KEYS, Call, Script, Scripts
from matchmaker.queue.scripts.script import KeysUnsettledError
from matchmaker.queue.ticket_store import TicketStore
from tests.matchmaker.checked_scripts import BELATED, UNNAMED, checked
from tests.matchmaker.queue.queued import queued

MODE = "battle_royale"


def script_of(cache: Redis, text: str, check: bool = True) -> Script:
    head = scripts_module._head() + scripts_module._text("shared") + text
    return Script(cache, SystemClock(), checked(head) if check else head, [KEYS["counters"]], [KEYS["live"]])


@pytest.mark.parametrize(
    "command",
    [
        "redis.call('GET', KEY.player .. '7')",
        "redis.pcall('HSET', KEY.ticket .. ARGV[1], 'state', 'searching')",
        "redis.call('MGET', KEYS[1], KEY.seen)",
        "redis.call('XADD', KEY.queue .. 'battle_royale', '*', 'gone', '')",
        "redis.call('ZADD', KEY.live .. 'teams_of_five', 1, 'a')",
    ],
)
async def test_the_check_finds_a_key_that_is_not_named(
    cache: Redis, command: str, every_key_is_named: list[str]
) -> None:
    call = Call(["1"], MODE, keys=[KEYS["player"] + "8"])
    with pytest.raises(ResponseError, match=UNNAMED):
        await script_of(cache, command).each([call])
    assert await cache.keys() == []
    assert every_key_is_named.pop().startswith(UNNAMED)  # every test here would end with it


async def test_the_check_lets_named_keys_through_whatever_the_command(cache: Redis) -> None:
    text = """
    redis.call('XADD', KEYS[1], '*', 'a', 'b')
    redis.call('XGROUP', 'CREATE', KEYS[1], 'g', '0')
    redis.call('XREADGROUP', 'GROUP', 'g', 'c', 'COUNT', 1, 'STREAMS', KEYS[1], '>')
    redis.call('XINFO', 'GROUPS', KEYS[1])
    redis.call('SET', KEY.counters, '1')
    redis.call('ZADD', KEY.live .. 'battle_royale', 1, 'a')
    return redis.call('MGET', KEY.counters, KEY.counters)
    """
    [found] = await script_of(cache, text).each([Call([], MODE, keys=["{mm}:stream"])])
    assert found == [b"1", b"1"]


async def test_the_check_finds_a_script_that_asks_for_keys_after_a_change(
    cache: Redis, every_key_is_named: list[str]
) -> None:
    text = "redis.call('SET', KEY.counters, '1') is_named(KEY.seen) return missing"
    with pytest.raises(ResponseError, match=BELATED):
        await script_of(cache, text)([])
    assert every_key_is_named.pop().startswith(BELATED)


async def test_keys_that_are_never_settled_are_an_error_that_says_so(cache: Redis) -> None:
    text = "is_named(KEY.ticket .. #KEYS) return missing"
    with pytest.raises(KeysUnsettledError, match="try again"):
        await script_of(cache, text)([])


async def test_keys_of_one_call_of_many_are_asked_for_alone(
    cache: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = counted(monkeypatch)
    text = """
    if ARGV[1] ~= '' and not is_named(KEY.ticket .. ARGV[1]) then return missing end
    return { TICKETS, #KEYS, ARGV[1] }
    """
    calls = [Call([""]), Call(["a"]), Call([""], tickets=["x", "yy"])]
    assert await script_of(cache, text).each(calls) == [[0, 1, b""], [0, 2, b"a"], [2, 3, b""]]
    assert sent == [3, 1]


async def test_scripts_that_a_node_has_not_are_given_to_it(cache: Redis, scripts: Scripts) -> None:
    assert await scripts.acquire_lease([MODE, 60_000], mode=MODE) is not None
    await cache.script_flush()
    calls = [Call([MODE, b"no fence", 1], MODE)] * 2
    with pytest.raises(Exception, match="STALE"):
        await scripts.renew_lease.each(calls)


async def test_what_players_ask_of_their_own_takes_one_call_once_the_mode_is_known(
    cache: Redis, scripts: Scripts, mm_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = TicketStore(cache, scripts)
    tickets = await queued(scripts, mm_settings, [1, 2, 3, 4], parties={3: "p", 4: "p"})
    sent = counted(monkeypatch)
    assert await store.cancel(tickets[0], 1) == "searching"
    assert len(sent) == 2  # that of the mode
    assert await store.cancel(tickets[1], 2) == "searching"
    assert len(sent) == 3
    assert await store.cancel(tickets[2], 3) == "searching"
    assert len(sent) == 6  # the party, then the other's ticket
    states = [await cache.hget(KEYS["ticket"] + each, "state") for each in tickets]
    assert states == [b"cancelled"] * 4


async def test_a_batch_reads_first_and_is_written_once(
    cache: Redis, scripts: Scripts, mm_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = counted(monkeypatch)
    await queued(scripts, mm_settings, range(1, 301))
    assert len(sent) == 1
    await cache.hset(KEYS["ticket"] + (await last_of(cache, 7)), "state", "cancelled")
    await queued(scripts, mm_settings, range(1, 303))
    assert len(sent) == 3  # 300 have a ticket of before
    assert await cache.hget(KEYS["counters"], "queued") == b"303"


async def last_of(cache: Redis, player: int) -> str:
    found: Any = await cache.get(f"{KEYS['player']}{player}")
    return str(found.decode())


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many calls each round trip had, from now on."""
    send, sent = Script._send, []

    async def counting(script: Script, commands: Sequence[bytes]) -> list[Any]:
        sent.append(len(commands))
        return await send(script, commands)

    monkeypatch.setattr(Script, "_send", counting)
    return sent
