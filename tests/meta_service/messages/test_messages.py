"""The bodies of requests and answers, without a service: what they look like as JSON, and what is refused."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meta_service.messages.base import MAX_PLAYER_ID, Message, PlayerId, decode, encode, read, schemas
from meta_service.messages.leases import CheckedOut, CheckoutRequest, CheckoutResponse, CommitRequest, Skills
from meta_service.messages.players import LoadoutChange, Skill
from meta_service.messages.sessions import DeviceLogin, PasswordChange, PasswordLogin
from meta_service.messages.social import Party

MATCH = "00000000-0000-4000-8000-000000000001"
RESULT = {"player_id": "7", "fence": 1, "placement": 1, "kills": 0, "played_s": 1.5, "ended_at": 1.8e9}


@given(st.integers(1, MAX_PLAYER_ID))
def test_a_player_id_is_text_in_json_and_a_plain_number_in_the_client(player_id: int) -> None:
    answer = CheckoutResponse([CheckedOut(PlayerId(player_id), 5, "recruit", 1)], [])
    text = encode(answer)
    assert json.loads(text)["checked_out"][0]["player_id"] == str(player_id)
    (player,) = decode(text, CheckoutResponse).checked_out
    assert player.player_id == player_id
    assert type(player.player_id) is int
    assert msgspec.json.encode(player.player_id) == str(player_id).encode()  # goes on into any other format


def test_a_message_that_was_read_can_be_written_again() -> None:
    given = {"match_id": MATCH, "players": [RESULT]}
    assert json.loads(encode(read(CommitRequest, given))) == given


def test_ids_that_are_keys_are_text_too() -> None:
    skills = Skills({7: Skill(25.0, 8.0)})
    assert json.loads(encode(skills)) == {
        "skills": {"7": {"mu": 25.0, "sigma": 8.0}},
        "held": {},
        "logged_out": [],
        "banned": {},
        "queued": {},
        "void": {},
        "blocked": {},
    }
    assert decode(encode(skills), Skills) == skills


@pytest.mark.parametrize("wrong", ["0", "07", "-7", "7 ", "7\n", "٧", "", str(2**63), 7, 7.0, True, None])
def test_what_is_no_player_id_is_refused(wrong: Any) -> None:
    with pytest.raises(msgspec.ValidationError, match="player_id"):
        read(CommitRequest, {"match_id": MATCH, "players": [{**RESULT, "player_id": wrong}]})


def test_a_pattern_ends_where_the_text_ends() -> None:
    assert read(DeviceLogin, {"device_id": "abcdefgh"}).device_id == "abcdefgh"
    with pytest.raises(msgspec.ValidationError):
        read(DeviceLogin, {"device_id": "abcdefgh\n"})


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), 86_401])
def test_a_lease_has_a_length(seconds: float) -> None:
    body = {"match_id": MATCH, "server": "s", "region": "east-us", "ttl_s": seconds, "player_ids": ["7"]}
    with pytest.raises(msgspec.ValidationError, match="ttl_s"):
        read(CheckoutRequest, body)


def test_a_loadout_change_leaves_out_what_stays() -> None:
    assert json.loads(encode(LoadoutChange("nightfall"))) == {"skin": "nightfall"}
    with pytest.raises(ValueError, match="give a skin"):
        LoadoutChange()


def test_no_password_is_in_a_log() -> None:
    assert "secret" not in repr(PasswordLogin("nina", "a secret word"))
    assert "secret" not in repr(PasswordChange("nina", "a secret word", "another secret"))


def test_a_field_that_a_newer_caller_adds_is_ignored() -> None:
    assert decode(b'{"device_id": "abcdefgh", "locale": "de"}', DeviceLogin) == DeviceLogin("abcdefgh")


def test_the_schema_of_an_id_is_that_of_text() -> None:
    components = schemas([Party])
    assert components["Party"]["properties"]["leader"]["type"] == "string"
    assert components["PartyMember"]["properties"]["player_id"]["pattern"] == "^[1-9][0-9]{0,18}$"


def test_every_message_is_frozen_and_says_what_it_is() -> None:
    kinds = [kind for kind in Message.__subclasses__() if kind.__module__.startswith("meta_service.")]
    assert len(kinds) > 50
    for kind in kinds:
        assert kind.__struct_config__.frozen, kind
        assert kind.__doc__, kind


def test_a_database_drivers_own_uuid_is_written_as_text() -> None:
    class DriversUUID(UUID):
        """As asyncpg's."""

    change = read(CommitRequest, {"match_id": MATCH, "players": [RESULT]})
    again = msgspec.structs.replace(change, match_id=DriversUUID(MATCH))
    assert json.loads(encode(again))["match_id"] == MATCH


def test_a_number_without_a_fraction_is_an_integer_and_nothing_else_is() -> None:
    given = {"match_id": MATCH, "players": [{**RESULT, "kills": 133.0, "placement": 1e0}]}
    (player,) = read(CommitRequest, given).players
    assert (player.kills, player.placement) == (133, 1)
    for wrong in (1.5, True, "12 ", None, 1e300):
        with pytest.raises(msgspec.ValidationError, match="kills"):
            read(CommitRequest, {"match_id": MATCH, "players": [{**RESULT, "kills": wrong}]})
