"""Metrics of a target's processes: read, bounded, turned into curves, and asked what broke."""

from __future__ import annotations

import asyncio
import contextlib
import csv
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtest.errors import MetricsError
from loadtest.flood.metrics import exposition, sampler
from loadtest.flood.metrics.exposition import Reading, read_exposition
from loadtest.flood.metrics.findings import find_in_metrics
from loadtest.flood.metrics.history import MAX_SERIES, MetricsHistory
from loadtest.flood.metrics.sampler import MetricsSampler, shown_address, why_not_sampled
from loadtest.report import incidents
from loadtest.report.cards.metrics import metric_cards
from loadtest.report.run_json import run_as_json
from loadtest.report.timeseries_csv import write_timeseries
from tests.loadtest.sample_run import sample_outcome
from tests.waiting import until

TEXT = """\
# HELP requests_total Requests.
# TYPE requests_total counter
requests_total{route="/login",status="200"} 10
requests_total{status="500",route="/login"} 1
requests_created 1.7e9
# TYPE depth gauge
depth 4
absent NaN
# TYPE latency_seconds histogram
latency_seconds_bucket{le="0.1"} 3
latency_seconds_bucket{le="+Inf"} 4
latency_seconds_count 4
latency_seconds_sum 0.5
"""


def history_of(*samples: dict[str, tuple[float, bool]] | None) -> MetricsHistory:
    """A history with a sample each second, of (value, whether it counts) by name."""
    found = MetricsHistory("10.0.0.7:9100/metrics")
    for at_s, sample in enumerate(samples):
        readings = None if sample is None else {name: Reading(*each) for name, each in sample.items()}
        found.add(float(at_s), readings)
    return found


def test_counters_gauges_and_histograms_are_read_without_their_buckets() -> None:
    assert read_exposition(TEXT) == {
        'requests_total{route="/login",status="200"}': Reading(10.0, True),
        'requests_total{route="/login",status="500"}': Reading(1.0, True),
        "depth": Reading(4.0, False),
        "latency_seconds_count": Reading(4.0, True),
        "latency_seconds_sum": Reading(0.5, True),
    }


@settings(max_examples=60, deadline=None)
@given(
    st.one_of(
        st.text(max_size=200),
        st.lists(st.sampled_from([*TEXT.splitlines(), "{", '"', "# TYPE", "a{b=", "x 1e999", "\\"])).map(
            lambda lines: "\n".join(lines)
        ),
        st.lists(st.sampled_from(TEXT), max_size=60).map("".join),
    )
)
def test_text_of_any_kind_is_read_or_refused(text: str) -> None:
    told = MetricsHistory("x")
    with contextlib.suppress(MetricsError):
        told.add(0.0, read_exposition(text))


def test_a_page_of_metrics_is_read_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exposition, "MAX_NAMES", 3)
    assert len(read_exposition("".join(f"level_{number} 1\n" for number in range(10)))) == 3


def test_a_counter_is_a_rate_a_gauge_a_level_and_a_histogram_a_mean() -> None:
    first = {"done_total": (5.0, True), "depth": (1.0, False), "s_count": (2.0, True), "s_sum": (1.0, True)}
    second = {"done_total": (9.0, True), "depth": (3.0, False), "s_count": (4.0, True), "s_sum": (2.0, True)}
    told = history_of(first, first, None, second)
    assert told.curve("done_total", "rate") == [None, 0.0, None, 2.0]
    assert told.curve("depth", "gauge") == [1.0, 1.0, None, 3.0]
    assert told.curve("s_count", "rate") == [None, 0.0, None, 1.0]
    assert told.curve("s", "mean") == [None, None, None, 0.5]
    assert told.gaps == 1


def test_what_never_moved_has_no_curve_and_the_process_always_has() -> None:
    told = history_of(*[{"still": (4.0, False), "process_open_fds": (9.0, False)}] * 3)
    assert [series.name for series in told.series.values()] == ["process_open_fds"]


def test_curves_are_bounded_and_those_that_are_looked_for_have_room_left() -> None:
    def sample(value: float) -> dict[str, tuple[float, bool]]:
        many = {f"done_total{{player='{number}'}}": (value, True) for number in range(500)}
        return many | {"failures_total": (value, True), "process_cpu_seconds_total": (value, True)}

    told = history_of(sample(1.0), sample(2.0))
    assert len(told.series) <= MAX_SERIES
    assert {"failures_total", "process_cpu_seconds_total"} <= {each.name for each in told.series.values()}
    assert len(told.left_out) == 502 - len(told.series)


def test_what_broke_in_a_process_is_found_at_its_time() -> None:
    def sample(cpu_s: float, started: float, fds: float, **more: float) -> dict[str, tuple[float, bool]]:
        return {
            "process_cpu_seconds_total": (cpu_s, True),
            "process_start_time_seconds": (started, False),
            "process_open_fds": (fds, False),
            "process_max_fds": (1_000.0, False),
            **{name: (value, True) for name, value in more.items()},
        }

    told = history_of(
        sample(1.0, 100.0, 20.0, errors_total=2.0),
        sample(1.2, 100.0, 30.0, errors_total=2.0),
        sample(2.2, 100.0, 950.0, errors_total=5.0),
        None,
        sample(0.1, 170.0, 20.0, errors_total=0.0),
    )
    found = dict(find_in_metrics([told]))
    words = {at_s: [what for when_s, what in find_in_metrics([told]) if when_s == at_s] for at_s in found}
    assert any("used 1.00 cores" in what for what in words[2.0])
    assert any("950 of its 1,000 descriptors" in what for what in words[2.0])
    assert any("errors_total" in what and "by 3 in all" in what for what in words[2.0])
    assert words[3.0] == ["10.0.0.7:9100/metrics did not tell its metrics; 1 of 5 times"]
    assert words[4.0] == ["the process at 10.0.0.7:9100/metrics was started again"]
    assert list(find_in_metrics([history_of(*[sample(1.0, 100.0, 20.0, errors_total=2.0)] * 4)])) == []


@pytest.mark.parametrize("name", ['http_total{status="503"}', "login_failures_total", 'x_total{code="500"}'])
def test_the_first_error_of_a_label_is_growth_and_its_fault_is_seen(name: str) -> None:
    told = history_of({"a": (1.0, False)}, {"a": (1.0, False), name: (1.0, True)})
    assert told.errors[name].since_s == 1.0


def test_the_report_the_figures_the_curves_and_the_incidents_have_it(tmp_path: Path) -> None:
    moving: list[dict[str, tuple[float, bool]] | None] = [
        {"done_total": (2.0 * at_s, True), "errors_total": (float(at_s > 30), True)} for at_s in range(62)
    ]
    outcome = replace(sample_outcome(), metrics=[history_of(*moving)])
    [told] = run_as_json(outcome)["metrics"]
    assert told["series"]["done_total per s"]["p50"] == 2.0
    assert "errors_total of 10.0.0.7:9100/metrics began to grow" in incidents.describe_first(outcome)
    [card] = metric_cards(outcome)
    assert card.title == "Metrics of 10.0.0.7:9100/metrics"
    write_timeseries(outcome.timeline, tmp_path / "run.csv", outcome.metrics)
    with (tmp_path / "run.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["10.0.0.7:9100/metrics done_total per s"] for row in rows[:3]] == ["", "2.0", "2.0"]


@pytest.mark.parametrize(
    "urls", [["127.0.0.1:80/metrics"], ["ftp://x/"], ["http://"], ["http://x:99999/"], ["http://x/"] * 2]
)
def test_an_address_that_is_none_is_refused_before_anything_is_asked(urls: list[str]) -> None:
    assert why_not_sampled(urls) is not None


def test_a_password_is_not_shown() -> None:
    assert shown_address("http://me:secret@host:90/metrics?token=secret") == "host:90/metrics"


async def test_an_address_that_fails_at_the_start_is_named_and_later_is_a_gap(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sampler, "INTERVAL_S", 0.001)
    answers = iter([200, 200, 500])

    async def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(next(answers, 200), text=TEXT)

    async with MetricsSampler(["http://a/metrics"], transport=httpx2.MockTransport(answer)) as watched:
        [told] = watched.histories
        async with watched.watching(asyncio.get_running_loop().time):
            await until(lambda: len(told.at_s) >= 3, "three samples")
    assert told.answered[:3] == [True, False, True]

    async def refuse(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(404)

    with pytest.raises(MetricsError, match="--metrics b/metrics: answers 404"):
        async with MetricsSampler(["http://b/metrics"], transport=httpx2.MockTransport(refuse)):
            pass


async def test_an_answer_without_end_is_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampler, "MAX_BYTES", 10)

    async def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, text=TEXT)

    with pytest.raises(MetricsError, match="tells more than 10 bytes"):
        async with MetricsSampler(["http://a/metrics"], transport=httpx2.MockTransport(answer)):
            pass
