"""The cumulative curve of waits: who never had a match counts as not yet."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtest.players.player_records import Wait, WaitEnd
from loadtest.report import charts
from loadtest.report.cards.wait_curve import CURVE_POINTS, Waits, cumulative_waits
from tests.loadtest.sample_run import sample_outcome


def share_at(figure: go.Figure, at_s: float, curve: int = 0) -> float:
    """What the curve shows at a time: its last step until then."""
    line = figure.data[curve]
    return max((share for x, share in zip(line.x, line.y, strict=True) if x <= at_s), default=0.0)


def curve_of(matched_s: list[float], in_vain: int, limit_s: float | None = None) -> go.Figure:
    return cumulative_waits({"all players": Waits(np.array(matched_s, float), in_vain, "#000000")}, limit_s)


def test_who_gave_up_keeps_the_curve_below_the_objective() -> None:
    # 20 of 200 players had a match, all within a second; the others gave up: no p95 of one second.
    figure = curve_of([0.05 * number for number in range(1, 21)], 180, limit_s=25.0)
    line, objective = figure.data
    assert line.y[-1] == 10.0
    assert line.name == "all players: 10 %"
    assert share_at(figure, 25.0) < 95.0
    assert list(objective.x[1:]) == [25.0, 25.0]
    assert objective.y[0] == 95.0
    assert line.x[-1] >= 25.0  # to where the objective is
    # Had they been left out, as in a percentile of the lucky, it would have been met.
    assert share_at(curve_of([0.05 * number for number in range(1, 21)], 0), 25.0) == 100.0


def test_waits_that_are_all_short_get_an_axis_on_which_they_differ() -> None:
    short = curve_of([0.0, 0.02, 0.2, 0.3], 0, limit_s=60.0)
    assert short.layout.xaxis.type == "log"
    assert short.layout.xaxis.ticktext[0] == "≤ 0.01"
    assert min(short.data[0].x) > 0.0
    assert share_at(short, 0.01) == 25.0  # a wait of nothing is at the edge, not lost
    assert curve_of([4.0, 5.0, 9.0], 0, limit_s=20.0).layout.xaxis.type is None


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.floats(0.0, 1e5), max_size=3 * CURVE_POINTS),
    st.integers(0, 1_000),
    st.none() | st.floats(1, 1e4),
)
def test_a_curve_never_falls_and_ends_at_the_share_that_had_a_match(
    matched_s: list[float], in_vain: int, limit_s: float | None
) -> None:
    figure = curve_of(matched_s, in_vain, limit_s)
    count = len(matched_s) + in_vain
    if not count:
        assert [note.text for note in figure.layout.annotations] == ["nobody queued"]
        return
    line = figure.data[0]
    assert all(np.diff(line.y) >= 0)
    assert all(np.diff(line.x) >= 0)
    assert line.y[-1] == round(100 * len(matched_s) / count, 3)
    if matched_s:  # exact wherever there is a point
        reached = [round(100 * sum(wait <= x + 1e-4 for wait in matched_s) / count, 3) for x in line.x]
        assert all(share <= exact + 1e-6 for share, exact in zip(line.y, reached, strict=True))


def test_the_report_tells_who_waited_in_vain() -> None:
    run = sample_outcome()
    run.records.vain_waits += [Wait(bot, 0.0, 20.0, end=WaitEnd.GAVE_UP) for bot in range(50)]
    figure = charts.waits(run)
    assert figure.data[0].y[-1] == 80.0
    assert "50 of 250 waits ended without a match: they count as not yet." in charts.waits_note(run)
    without = run.scenario.objectives.model_copy(update={"wait_p95_s": None})
    unasked = replace(run, scenario=run.scenario.model_copy(update={"objectives": without}))
    assert len(charts.waits(unasked).data) == 1
