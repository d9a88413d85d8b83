from __future__ import annotations

from collections import deque

from hypothesis import given
from hypothesis import strategies as st

from launchday.resilience.admission.waiting_line import TIDY_AT, LineLimits, Waiting, WaitingLine

LIMITS = LineLimits(places=100, age_s=1.0, standing_after_s=1.0, standing_age_s=0.02)


def joined(line: WaitingLine[str], *who: str, at: float = 0.0, source: str = "here") -> list[Waiting[str]]:
    places = [line.join((source,), each, at)[0] for each in who]
    assert all(place is not None for place in places)
    return [place for place in places if place is not None]


def all_of(line: WaitingLine[str], at: float) -> list[str]:
    found = []
    while (item := line.next(at)) is not None:
        found.append(item)
    return found


def test_a_burst_is_served_in_its_order() -> None:
    line: WaitingLine[str] = WaitingLine(LIMITS)
    joined(line, *"abc")
    assert all_of(line, 0.5) == list("abc")
    assert len(line) == 0


def test_nobody_is_older_than_the_age_limit() -> None:
    line: WaitingLine[str] = WaitingLine(LIMITS)
    joined(line, "old")
    joined(line, "young", at=0.9)
    assert list(line.too_old(0.99)) == []
    line = WaitingLine(LineLimits(standing_after_s=9.0))
    joined(line, "old")
    joined(line, "young", at=0.9)
    assert list(line.too_old(1.01)) == ["old"]
    assert all_of(line, 1.01) == ["young"]


def test_a_line_that_has_stood_for_a_second_serves_the_newest_first_and_keeps_none_for_long() -> None:
    line: WaitingLine[str] = WaitingLine(LIMITS)
    joined(line, "first")
    joined(line, "second", at=0.99)
    assert not line.standing(0.99)
    assert line.standing(1.0)
    assert list(line.too_old(1.02)) == ["first", "second"]
    # It is empty for a moment only: nobody has been served, so the overload goes on.
    joined(line, "third", at=1.05)
    assert list(line.too_old(1.08)) == ["third"]
    # A tenth of a second without anybody ends it.
    joined(line, "fourth", at=1.2)
    assert not line.standing(1.3)
    assert list(line.too_old(1.3)) == []


def test_a_standing_line_takes_the_newest() -> None:
    line: WaitingLine[str] = WaitingLine(LineLimits(standing_after_s=0.5, standing_age_s=1.0))
    joined(line, "a")
    joined(line, "b", at=0.6)
    joined(line, "c", at=0.7)
    assert all_of(line, 0.8) == ["c", "b", "a"]


def test_sources_take_turns_and_a_newcomer_comes_first() -> None:
    line: WaitingLine[str] = WaitingLine(LIMITS)
    joined(line, "flood1", "flood2", "flood3", "flood4", source="flood")
    assert line.next(0.0) == "flood1"
    joined(line, "nina", source="elsewhere")
    assert line.next(0.0) == "nina"
    joined(line, "otto", source="there")
    joined(line, "nina2", source="elsewhere")
    assert all_of(line, 0.0) == ["otto", "flood2", "nina2", "flood3", "flood4"]


def test_a_source_that_asks_one_at_a_time_gets_no_more_turns_than_others() -> None:
    line: WaitingLine[str] = WaitingLine(LineLimits(standing_after_s=0.0, standing_age_s=9.0))
    joined(line, *"abcd", source="patient")
    served = []
    joined(line, "x", source="quick")
    for _ in range(6):
        served.append(line.next(0.0))
        if served[-1] == "x":
            joined(line, "x", source="quick")
    assert served.count("x") == 3


def test_names_of_one_address_take_turns_too() -> None:
    line: WaitingLine[str] = WaitingLine(LIMITS)
    for number in range(3):
        line.join(("router", "guessed"), f"guess{number}", 0.0)
    line.join(("router", "nina"), "nina", 0.0)
    line.join(("elsewhere", "otto"), "otto", 0.0)
    assert all_of(line, 0.0) == ["guess0", "otto", "nina", "guess1", "guess2"]


def test_who_comes_to_a_full_line_pushes_one_of_a_flood_out() -> None:
    line: WaitingLine[str] = WaitingLine(LineLimits(places=3))
    joined(line, "flood1", "flood2", "flood3", source="flood")
    place, pushed_out = line.join(("elsewhere",), "nina", 0.1)
    assert (place is not None, pushed_out) == (True, "flood1")
    assert line.join(("flood",), "flood4", 0.2) == (None, None)
    assert len(line) == 3
    assert all_of(line, 0.2) == ["flood2", "nina", "flood3"]


def test_who_has_left_is_passed_over() -> None:
    line: WaitingLine[str] = WaitingLine(LIMITS)
    places = joined(line, *"abc")
    line.leave(places[0])
    line.leave(places[0])
    assert len(line) == 2
    assert all_of(line, 0.0) == ["b", "c"]
    joined(line, "d", at=5.0)
    assert all_of(line, 5.0) == ["d"]


def test_a_line_that_stands_for_long_does_not_grow() -> None:
    line: WaitingLine[str] = WaitingLine(LineLimits(places=10_000))
    for number in range(20_000):
        now = number * 0.005
        list(line.too_old(now))
        joined(line, str(number), at=now, source=f"source-{number}")
        if number % 2:
            line.next(now)
    turns = line._turns
    assert len(turns._ranks) <= 2 * TIDY_AT
    assert len(turns._last_turn) <= 2 * TIDY_AT
    assert len(line._by_age) < 300
    one: WaitingLine[str] = WaitingLine(LineLimits(places=10_000))
    for number in range(20_000):
        now = number * 0.005
        list(one.too_old(now))
        joined(one, str(number), at=now)
        if number % 2:
            one.next(now)
    queue = one._turns._queues["here"]
    assert isinstance(queue, deque)
    assert len(queue) < 300


@given(
    st.lists(
        st.tuples(st.sampled_from(["join", "next", "leave", "age"]), st.integers(0, 3), st.floats(0.0, 0.4)),
        max_size=60,
    )
)
def test_everybody_comes_out_once(steps: list[tuple[str, int, float]]) -> None:
    line: WaitingLine[int] = WaitingLine(
        LineLimits(places=5, age_s=0.5, standing_after_s=0.5, standing_age_s=0.2)
    )
    inside: dict[int, Waiting[int]] = {}
    now, number = 0.0, 0
    for what, choice, passed_s in steps:
        now += passed_s
        if what == "join":
            place, pushed_out = line.join((choice, number % 2), number, now)
            if place is not None:
                inside[number] = place
            if pushed_out is not None:
                del inside[pushed_out]
            number += 1
        elif what == "next":
            item = line.next(now)
            assert (item is None) == (not inside)
            if item is not None:
                del inside[item]
        elif what == "leave" and inside:
            line.leave(inside.pop(next(iter(inside))))
        elif what == "age":
            limit_s = line.age_limit_s(now)
            for old in line.too_old(now):
                assert now - inside.pop(old).since > limit_s
        assert len(line) == len(inside)
