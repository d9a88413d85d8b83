"""What became of a log, from a stored position and what the broker says now."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.events.logs.verdict import Before, Finding, LogState, Position, Verdict, judge, needs_witness

OURS, ANOTHER = UUID(int=1), UUID(int=2)


@pytest.mark.parametrize(
    ("position", "log", "before", "verdict"),
    [
        # the same log: it goes on at the stored offset
        (Position(100, OURS), LogState(0, OURS), Before.READ, Verdict(Finding.SAME, 100)),
        (Position(100, OURS), LogState(0, OURS), Before.NO_RECORD, Verdict(Finding.SAME, 100)),
        (Position(100, OURS), LogState(100, OURS), Before.NOT_ASKED, Verdict(Finding.SAME, 100)),
        (Position(0, OURS), LogState(0, OURS), Before.NOT_ASKED, Verdict(Finding.SAME, 0)),
        # its beginning is gone: retention, or delete_records
        (Position(100, OURS), LogState(500, OURS), Before.NOT_ASKED, Verdict(Finding.CUT, 500, 400)),
        (Position(0, OURS), LogState(1, OURS), Before.NOT_ASKED, Verdict(Finding.CUT, 1, 1)),
        (Position(100), LogState(500, OURS), Before.NOT_ASKED, Verdict(Finding.CUT, 500, 400)),
        # the topic was made anew, however long it is, and whatever lies at the offset
        (Position(100, OURS), LogState(0, ANOTHER), Before.NOT_ASKED, Verdict(Finding.REPLACED, 0, None)),
        (Position(0, OURS), LogState(0, ANOTHER), Before.NOT_ASKED, Verdict(Finding.REPLACED, 0, None)),
        (Position(100, OURS), LogState(500, ANOTHER), Before.READ, Verdict(Finding.REPLACED, 500, None)),
        # an election of a leader without the newest records
        (Position(100, OURS), LogState(0, OURS), Before.BEYOND_THE_END, Verdict(Finding.TRUNCATED, 0, None)),
        (Position(100, OURS), LogState(7, OURS), Before.ANOTHER, Verdict(Finding.TRUNCATED, 7, None)),
        # without ids the record before the offset tells, as far as it can
        (Position(100), LogState(0), Before.READ, Verdict(Finding.SAME, 100)),
        (Position(100), LogState(0, OURS), Before.READ, Verdict(Finding.SAME, 100)),
        (Position(100), LogState(0), Before.ANOTHER, Verdict(Finding.REPLACED, 0, None)),
        (Position(100, OURS), LogState(0), Before.ANOTHER, Verdict(Finding.REPLACED, 0, None)),
        (Position(100), LogState(0), Before.BEYOND_THE_END, Verdict(Finding.REPLACED, 0, None)),
    ],
)
def test_the_verdict_on_a_log(position: Position, log: LogState, before: Before, verdict: Verdict) -> None:
    assert judge(position, log, before) == verdict


ids = st.sampled_from([None, OURS, ANOTHER])
offsets = st.integers(0, 1_000)


@given(st.builds(Position, offsets, ids), st.builds(LogState, offsets, ids), st.sampled_from(Before))
def test_no_record_is_passed_over_without_being_named(
    position: Position, log: LogState, before: Before
) -> None:
    verdict = judge(position, log, before)
    assert verdict.start >= log.begins_at
    if verdict.start > position.next_offset:
        assert verdict.missing is None or verdict.missing == verdict.start - position.next_offset
        assert verdict.finding is not Finding.SAME
    if verdict.finding is Finding.SAME:
        assert (verdict.start, verdict.missing) == (position.next_offset, 0)
    if None not in (position.topic_id, log.topic_id) and position.topic_id != log.topic_id:
        assert verdict.start == log.begins_at, "an offset of another log"


@given(st.builds(Position, offsets, ids), st.builds(LogState, offsets, ids))
def test_a_witness_is_asked_for_just_where_it_can_decide(position: Position, log: LogState) -> None:
    verdicts = {judge(position, log, before) for before in Before}
    assert needs_witness(position, log) == (len(verdicts) > 1)
