from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.events import SpoolDamagedError, spool

payloads = st.lists(st.binary(min_size=1, max_size=60), max_size=6)


@given(payloads)
def test_what_is_encoded_is_decoded_as_it_was(events: list[bytes]) -> None:
    assert spool.decode(spool.encode(events)) == events


@given(st.one_of(st.binary(max_size=200), st.binary(max_size=200).map(lambda tail: spool.MAGIC + tail)))
def test_random_bytes_raise_nothing_but_the_named_error(data: bytes) -> None:
    with contextlib.suppress(SpoolDamagedError):
        spool.decode(data)


@given(payloads, st.data())
def test_damage_is_reported_and_costs_nothing_before_it(events: list[bytes], data: st.DataObject) -> None:
    whole = spool.encode(events)
    ends = [len(spool.encode(events[:count])) for count in range(len(events) + 1)]
    at = data.draw(st.integers(0, len(whole) - 1))
    damaged = bytearray(whole)
    damaged[at] ^= data.draw(st.integers(1, 255))

    with pytest.raises(SpoolDamagedError) as caught:
        spool.decode(bytes(damaged))

    intact = sum(end <= at for end in ends) - 1
    assert list(caught.value.intact) == events[: max(0, intact)]


@given(payloads, st.data())
def test_a_cut_file_keeps_its_whole_events(events: list[bytes], data: st.DataObject) -> None:
    whole = spool.encode(events)
    cut = data.draw(st.integers(0, len(whole)))
    ends = [len(spool.encode(events[:count])) for count in range(len(events) + 1)]
    try:
        kept = spool.decode(whole[:cut])
    except SpoolDamagedError as error:
        assert cut not in ends
        kept = list(error.intact)
    assert kept == events[: max(0, sum(end <= cut for end in ends) - 1)]


@pytest.mark.parametrize("payload", [b"", bytes(spool.MAX_PAYLOAD_BYTES + 1)])
def test_an_event_that_fits_no_spool_is_refused(payload: bytes) -> None:
    with pytest.raises(ValueError, match="fit a spool"):
        spool.encode([payload])


def test_a_spool_is_claimed_once_and_gone_when_done(tmp_path: Path) -> None:
    path = spool.write(tmp_path / "spool", "server-1", [b"one", b"two"])

    claims = spool.claim_files(path.parent)
    claim = next(claims)
    assert claim.events == [b"one", b"two"]
    assert list(spool.claim_files(path.parent)) == [], "another process got a claimed spool"
    claim.complete()
    assert list(claims) == []
    assert list(path.parent.iterdir()) == []


def test_a_claim_that_is_given_up_can_be_claimed_again(tmp_path: Path) -> None:
    spool.write(tmp_path, "server-1", [b"one"])

    claims = spool.claim_files(tmp_path)
    next(claims)
    claims.close()

    assert [claim.events for claim in spool.claim_files(tmp_path)] == [[b"one"]]


def test_a_damaged_spool_is_set_aside_and_not_replayed_again(tmp_path: Path) -> None:
    path = spool.write(tmp_path, "server-1", [b"one", b"two"])
    path.write_bytes(path.read_bytes()[:-1])

    for claim in spool.claim_files(tmp_path):
        assert claim.events == [b"one"]
        assert claim.damage
        claim.complete()

    assert list(spool.claim_files(tmp_path)) == []
    assert [file.suffix for file in tmp_path.iterdir()] == [spool.DAMAGED_SUFFIX]


def test_files_of_others_are_not_claimed_and_links_are_not_followed(tmp_path: Path) -> None:
    own = spool.write(tmp_path / "elsewhere", "server-1", [b"one"])
    (tmp_path / "link.spool").symlink_to(own)
    (tmp_path / "theirs.spool").write_bytes(b"LDSPOOL")
    (tmp_path / "folder.spool").mkdir()
    assert list(spool.claim_files(tmp_path)) == []


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="fit a spool"):
        spool.write(tmp_path, "server-1", [b"good", b""])

    assert list(tmp_path.iterdir()) == []
