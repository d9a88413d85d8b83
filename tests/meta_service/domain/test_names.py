from __future__ import annotations

import asyncio

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from launchday.settings import Settings
from meta_service.client import MetaUnavailableError
from meta_service.domain.name_rules import MAX_BYTES, MAX_GRAPHEMES, checked_name, name_keys
from meta_service.errors import BadNameError
from tests.meta_service.conftest import Backend, Clock, drain, new_match, running
from tests.meta_service.domain.test_accounts import NOBODY
from tests.meta_service.domain.test_shop import refused

MONTH_S = 30 * 24 * 3600

FAMILY = "👨\u200d👩\u200d👧\u200d👦"


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("Nina", "Nina"),
        ("  Nina   of  Troy ", "Nina of Troy"),
        ("Nina\u00a0of\u3000Troy", "Nina of Troy"),
        ("ﬁsh", "fish"),
        ("Zoe\u0308", "Zoë"),
        (f"the {FAMILY} family", f"the {FAMILY} family"),
        ("I ❤\ufe0f you 👍🏽 🇩🇪 1\ufe0f\u20e3", "I ❤\ufe0f you 👍🏽 🇩🇪 1\ufe0f\u20e3"),
        ("☺ and ☺", "☺ and ☺"),
        ("שלום", "שלום"),
        ("مرحبا بالعالم", "مرحبا بالعالم"),
        ("می\u200cخواهم", "می\u200cخواهم"),  # Persian needs the joiner
        ("Việt Nam", "Việt Nam"),
        ("नमस्ते", "नमस्ते"),
        ("x", "x"),
        (FAMILY * 5, FAMILY * 5),
    ],
)
def test_a_name_is_shown_as_it_was_typed_but_for_spaces_and_forms_of_letters(typed: str, shown: str) -> None:
    assert checked_name(typed).text == shown


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "   ",
        "\u200d",
        "a\u0000b",
        "a\nb",
        "\u202eanin",
        "a\u200eb",
        "\u2066abc\u2069",
        "\ufeffabc",
        "a\ufe0f",
        "zero\u200bwidth",
        "lone \ud800 surrogate",
        "private \ue000",
        "unassigned \u0378",
        "a\u200db",
        "b" + "\u0301" * 4,
        "\u0338a",
        "a \u20dd",
        "abcשלום",
        "n" * (MAX_GRAPHEMES + 1),
        FAMILY * 6,  # few to read, many bytes
        "x" * 100_000,
        "Player 000000",
        "player 7",
        "PIayer OOO123",
        "Рlауеr 123456",
        "Player ٠٠٠٠٤٢",
        "ＰＬＡＹＥＲ　１２３４５６",
    ],
)
def test_what_cannot_be_shown_or_looks_like_nobodys_name_is_refused(typed: str) -> None:
    with pytest.raises(BadNameError):
        checked_name(typed)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Nina", "NINA"),
        ("Straße", "STRASSE"),
        ("paypal", "раураӏ"),
        ("Nina", "N i n a"),
        ("Bill", "BiII"),
        ("O0O", "000"),
        ("modern", "modem"),
        ("İstanbul", "istanbul"),
        ("é", "e\u0301"),
        ("I ❤", "I ❤\ufe0f"),
        ("𝕱raktur", "Fraktur"),
        ("НИНА", "нина"),
        ("ВОВ", "BOB"),
        ("νan", "van"),
    ],
)
def test_names_that_are_read_alike_have_a_key_in_common(one: str, other: str) -> None:
    assert set(name_keys(one)) & set(name_keys(other))


def test_names_that_are_read_differently_have_none() -> None:
    names = ["Nina", "Nena", "Ninna", "нов", "bob", "nan", "van", "❤", "👍", "👍👍", "שלום"]
    for one in names:
        assert [other for other in names if set(name_keys(one)) & set(name_keys(other))] == [one]


@given(st.text(max_size=40))
def test_whatever_is_typed_is_refused_or_becomes_a_name_that_stays_one(typed: str) -> None:
    try:
        name = checked_name(typed)
    except BadNameError:
        return
    assert 0 < len(name.text.encode()) <= MAX_BYTES
    assert checked_name(name.text) == name


async def test_a_chosen_name_is_shown_wherever_names_are(backend: Backend, store: asyncpg.Connection) -> None:
    one, other = await backend.logins(2)
    await drain(backend)
    client = backend.client
    assert (await client.set_name(one.session_token, " Zoë  of Troy ")).display_name == "Zoë of Troy"
    assert (await client.profile(one.session_token)).display_name == "Zoë of Troy"
    await client.request_friendship(one.session_token, other.player_id)
    (friend,) = await client.friends(other.session_token)
    assert friend.display_name == "Zoë of Troy"
    party = await client.create_party(one.session_token)
    assert party.members[0].display_name == "Zoë of Troy"
    out = await client.check_out(new_match(), "server-1", "local", 60.0, [one.player_id, other.player_id])
    assert [player.display_name for player in out.checked_out] == [
        "Zoë of Troy",
        (await client.profile(other.session_token)).display_name,
    ]
    await store.execute(
        "INSERT INTO season_records (season, player_id, matches, wins, kills)"
        " VALUES ('century', $1, 1, 1, 5)",
        one.player_id,
    )
    redis = backend.app.state.context.players.cache.redis
    for lost in (False, True):
        if lost:
            await redis.flushall()
        board = await client.leaderboard(other.session_token, "kills")
        assert [standing.display_name for standing in board.standings] == ["Zoë of Troy"]
    assert (await client.profile(one.session_token)).display_name == "Zoë of Troy"


async def test_a_name_that_was_chosen_before_the_account_was_stored_stays(
    backend: Backend, store: asyncpg.Connection
) -> None:
    login = await backend.login()
    await backend.client.set_name(login.session_token, "Early Bird")
    friend = await backend.login()
    await backend.client.request_friendship(login.session_token, friend.player_id)
    assert [one.display_name for one in await backend.client.friends(friend.session_token)] == ["Early Bird"]
    await drain(backend)
    stored = "SELECT display_name FROM accounts WHERE player_id = $1"
    assert await store.fetchval(stored, login.player_id) == "Early Bird"
    await backend.app.state.context.players.cache.redis.flushall()
    assert (await backend.client.profile(login.session_token)).display_name == "Early Bird"


async def test_a_name_changes_once_a_month_and_stays_ones_own_for_another(backend: Backend) -> None:
    one, other = await backend.logins(2)
    taken = await backend.client.set_name(one.session_token, "Nightfall")
    assert taken.changeable_at == pytest.approx(backend.clock.wall() + MONTH_S)
    assert await backend.client.set_name(one.session_token, "Nightfall") == taken  # the answer was lost
    with refused("name-changed-lately"):
        await backend.client.set_name(one.session_token, "Daybreak")
    backend.clock.advance(MONTH_S + 1)
    await backend.client.set_name(token_of(backend, one.player_id), "Daybreak")
    with refused("name-taken"):
        await backend.client.set_name(token_of(backend, other.player_id), "NIGHTFALL")
    backend.clock.advance(MONTH_S + 1)
    await backend.client.set_name(token_of(backend, other.player_id), "NIGHTFALL")


def token_of(backend: Backend, player_id: int) -> str:
    """A token that is good now."""
    token: str = backend.app.state.signer.player_token(player_id, backend.clock.wall(), 3600)
    return token


async def test_of_many_who_want_one_name_at_once_one_gets_it(
    backend: Backend, store: asyncpg.Connection
) -> None:
    logins = await backend.logins(8)
    forms = ["Nina", "NINA", "N i n a", "Νina", "Ｎina", "nina", "niпa", "nIna"]
    answers = await asyncio.gather(
        *(
            backend.client.set_name(login.session_token, form)
            for login, form in zip(logins, forms, strict=True)
        ),
        return_exceptions=True,
    )
    assert sum(not isinstance(answer, BaseException) for answer in answers) == 1
    assert await store.fetchval("SELECT count(*) FROM display_names") == 1
    one = logins[0]
    await asyncio.gather(
        *(backend.client.set_name(one.session_token, f"Other {n}") for n in "abcd"), return_exceptions=True
    )
    assert await store.fetchval("SELECT count(*) FROM display_names WHERE player_id = $1", one.player_id) == 1


async def test_while_the_store_is_away_nobody_gets_another_name(settings: Settings, clock: Clock) -> None:
    async with running(settings.model_copy(update={"store_url": NOBODY}), clock) as backend:
        login = await backend.login()
        with pytest.raises(MetaUnavailableError):
            await backend.client.set_name(login.session_token, "Nina")
