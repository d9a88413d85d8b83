"""Agones' policies from their JSON, at any moment."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedicated_server.fleet.autoscaling.policies import Cron, CronError, parse_duration
from dedicated_server.fleet.autoscaling.policy import AutoscalerSpec, PolicyError, Replicas, parse_policy
from dedicated_server.fleet.autoscaling.webhook import Webhook, answer, question, read_answer, read_question

FRIDAY_1830 = datetime(2026, 11, 27, 18, 30, tzinfo=UTC).timestamp()
HOUR_S = 3600.0


def fleet(allocated: int = 0, unmet: int = 0) -> Replicas:
    return Replicas(replicas=allocated + 2, ready=2, reserved=0, allocated=allocated, unmet=unmet)


def decide(policy: dict[str, Any], state: Replicas, now: float = FRIDAY_1830) -> tuple[int | None, bool]:
    decision = parse_policy(json.dumps(policy)).policy.decide(state, now)
    return decision.replicas, decision.limited


def buffer(size: Any, **limits: int) -> dict[str, Any]:
    return {"type": "Buffer", "buffer": {"bufferSize": size, **limits}}


@pytest.mark.parametrize(
    ("policy", "allocated", "wanted"),
    [
        (buffer(5), 0, (5, False)),
        (buffer(5), 10, (15, False)),
        (buffer(5, minReplicas=20), 10, (20, True)),
        (buffer(5, maxReplicas=12), 10, (12, True)),
        (buffer("10%"), 90, (100, False)),  # the buffer is a tenth of all, not of those in use
        (buffer("20%"), 1, (2, False)),
        (buffer("20%", minReplicas=3), 0, (3, True)),
        (buffer([5, "10%"]), 9, (14, False)),  # a percentage alone would leave one
        (buffer([5, "10%"]), 900, (1000, False)),  # the number alone would leave five
        (buffer(0), 0, (0, False)),  # to zero
    ],
)
def test_buffer(policy: dict[str, Any], allocated: int, wanted: tuple[int, bool]) -> None:
    assert decide(policy, fleet(allocated)) == wanted


def test_a_fleet_scaled_to_zero_grows_by_what_is_asked_for_in_vain() -> None:
    assert decide(buffer(0), fleet(0, unmet=3)) == (3, False)
    assert decide(buffer(0, maxReplicas=2), fleet(0, unmet=3)) == (2, True)


@given(st.integers(0, 5000), st.integers(0, 50), st.integers(0, 500), st.integers(1, 99), st.integers(0, 50))
def test_a_buffer_is_never_smaller_than_either_of_its_parts(
    allocated: int, reserved: int, servers: int, percent: int, unmet: int
) -> None:
    state = Replicas(allocated + reserved, 0, reserved, allocated, unmet)
    replicas, limited = decide(buffer([servers, f"{percent}%"]), state)
    assert replicas is not None
    idle = replicas - allocated - reserved
    assert not limited
    assert idle >= servers
    assert idle >= unmet
    assert idle * 100 >= percent * replicas - 1e-6
    smaller = idle - 1
    assert smaller < servers or smaller < unmet or smaller * 100 < percent * (replicas - 1)


def schedule(**changes: Any) -> dict[str, Any]:
    spec = {
        "between": {"start": "2026-11-01T00:00:00Z", "end": "2026-12-01T00:00:00Z"},
        "activePeriod": {"timezone": "UTC", "startCron": "0 18 * * fri", "duration": "5h"},
        "policy": buffer(50),
    }
    return {"type": "Schedule", "schedule": {**spec, **changes}}


@pytest.mark.parametrize(
    ("hours", "active"),
    [(0, True), (4, True), (5, False), (-1, False), (24, False), (7 * 24, False), (-7 * 24, True)],
)
def test_schedule(hours: float, active: bool) -> None:
    replicas, _ = decide(schedule(), fleet(), FRIDAY_1830 + hours * HOUR_S)
    assert (replicas == 50) is active
    assert active or replicas is None


def test_a_schedule_reads_the_clock_of_its_timezone() -> None:
    tokyo = schedule(
        activePeriod={"timezone": "Asia/Tokyo", "startCron": "0 3 * * sat", "duration": "1h"}
    )  # nine hours on
    assert decide(tokyo, fleet())[0] == 50
    assert decide(tokyo, fleet(), FRIDAY_1830 + HOUR_S)[0] is None


def test_a_schedule_without_a_period_is_active_between_its_ends() -> None:
    assert decide(schedule(activePeriod={}), fleet())[0] == 50
    assert decide(schedule(activePeriod={}), fleet(), FRIDAY_1830 + 30 * 24 * HOUR_S)[0] is None


def test_the_first_link_of_a_chain_that_applies_decides() -> None:
    chain = {
        "type": "Chain",
        "chain": [{"id": "friday evening", **schedule()}, {"id": "else", **buffer(3)}],
    }
    decision = parse_policy(json.dumps(chain)).policy.decide(fleet(), FRIDAY_1830)
    assert (decision.replicas, decision.reason) == (50, "friday evening: 0 in use and a buffer of 50")
    assert decide(chain, fleet(), FRIDAY_1830 + 5 * HOUR_S) == (3, False)


def test_a_whole_fleet_autoscaler_is_read_with_its_interval() -> None:
    document = {
        "apiVersion": "autoscaling.agones.dev/v1",
        "kind": "FleetAutoscaler",
        "spec": {
            "fleetName": "west-europe",
            "policy": {"type": "Webhook", "webhook": {"url": "http://127.0.0.1:8000/scale"}},
            "sync": {"type": "FixedInterval", "fixedInterval": {"seconds": 30}},
        },
    }
    assert parse_policy(json.dumps(document)) == AutoscalerSpec(Webhook("http://127.0.0.1:8000/scale"), 30.0)


def test_a_webhook_may_be_named_as_a_service() -> None:
    service = {"name": "scaler", "namespace": "games", "path": "/scale", "port": 8443}
    policy = {"type": "Webhook", "webhook": {"service": service}}
    assert parse_policy(json.dumps(policy)).policy == Webhook("http://scaler.games.svc:8443/scale")


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ({"type": "Guess"}, "may be Buffer, Schedule, Chain or Webhook"),
        ({"type": "Buffer"}, "policy.buffer must be a JSON object"),
        (buffer(-1), "whole number from 0"),
        (buffer(True), "whole number"),
        (buffer("100%"), "below 100%"),
        (buffer("ten%"), "below 100%"),
        (buffer(1, minReplicas=5, maxReplicas=4), "below minReplicas"),
        (schedule(activePeriod={"startCron": "0 18 * *"}), "cron has five"),
        (schedule(activePeriod={"timezone": "Mars/Olympus"}), "Europe/Paris"),
        (schedule(activePeriod={"duration": "five hours"}), "1h30m"),
        (schedule(between={"start": "tomorrow"}), "2026-12-24T18:00:00Z"),
        ({"type": "Chain", "chain": []}, "at least one policy"),
        ({"type": "Webhook", "webhook": {"url": "ftp://x"}}, "http:// or https://"),
        ([], "JSON object"),
    ],
)
def test_what_is_no_policy_is_refused_in_one_line_that_says_where(policy: Any, words: str) -> None:
    with pytest.raises(PolicyError, match=words) as raised:
        parse_policy(json.dumps(policy))
    assert "\n" not in str(raised.value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "buffer", "schedule", "chain", "webhook", "policy", "spec", "sync", "bufferSize",
                 "between", "start", "activePeriod", "startCron", "duration", "timezone", "url", "service"]
            ),
            inner | st.sampled_from(["Buffer", "Schedule", "Chain", "Webhook"]),
            max_size=4,
        )
    ),
    max_leaves=25,
)  # fmt: skip


@given(json_values)
def test_any_json_is_a_policy_or_an_error_of_ours(value: Any) -> None:
    try:
        autoscaler = parse_policy(json.dumps(value))
    except PolicyError:
        return
    autoscaler.policy.decide(fleet(3), FRIDAY_1830)


@given(st.text(max_size=30) | st.from_regex(r"[0-9*/,\-]{1,6}( [0-9*/,\-a-z]{1,6}){4}", fullmatch=True))
def test_any_text_is_cron_or_an_error_of_ours(text: str) -> None:
    try:
        parsed = Cron.parse(text)
    except CronError:
        return
    parsed.last_before(datetime(2026, 11, 27, tzinfo=UTC), timedelta(days=30))


fields = st.tuples(
    st.sampled_from(["*", "0", "*/7", "3,40-50", "10-20/5"]),
    st.sampled_from(["*", "18", "*/5", "0-6"]),
    st.sampled_from(["*", "1", "13,27", "*/10"]),
    st.sampled_from(["*", "nov", "1-6", "11,12"]),
    st.sampled_from(["*", "fri", "0", "7", "1-5"]),
)


def _values(texts: tuple[str, ...]) -> list[set[int]]:
    """The values of the fields above, written out."""
    names = {"nov": 11, "fri": 5}
    values = []
    for text, (least, most) in zip(texts, ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7)), strict=True):
        found: set[int] = set()
        for part in text.split(","):
            span, _, step = part.partition("/")
            low, _, high = span.partition("-")
            first = least if low == "*" else names.get(low) or int(low)
            last = int(high) if high else most if low == "*" else first
            found.update(range(first, last + 1, int(step or 1)))
        values.append(found)
    return values


def _fires(fields: list[set[int]], texts: tuple[str, ...], at: datetime) -> bool:
    """Whether crontab(5) fires in a minute: either day field will do, unless one begins with a star."""
    minutes, hours, days, months, weekdays = fields
    of_month, of_week = at.day in days, not weekdays.isdisjoint({at.isoweekday(), at.isoweekday() % 7})
    starred = "*" in (texts[2][0], texts[4][0])
    day = of_month and of_week if starred else of_month or of_week
    return at.minute in minutes and at.hour in hours and at.month in months and day


@given(fields, st.integers(0, 400 * 24 * 60))
def test_the_last_start_is_the_one_found_minute_by_minute(texts: tuple[str, ...], minutes: int) -> None:
    parsed = Cron.parse(" ".join(texts))
    fields = _values(texts)
    moment = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes, seconds=30)
    reach = timedelta(hours=30)
    at, slow = moment.replace(second=0), None
    while at > moment - reach:
        if _fires(fields, texts, at):
            slow = at
            break
        at -= timedelta(minutes=1)
    assert parsed.last_before(moment, reach) == slow


@pytest.mark.parametrize(
    ("expression", "moment", "matches"),
    [
        ("0 18 * * fri", "2026-11-27T18:00", True),
        ("0 18 * * 5", "2026-11-26T18:00", False),
        ("0 0 13 * 5", "2026-11-27T00:00", True),  # either of the day fields will do
        ("0 0 13 * 5", "2026-11-13T00:00", True),
        ("0 0 13 * 5", "2026-11-14T00:00", False),
        ("0 0 * * 7", "2026-11-29T00:00", True),  # 7 is Sunday too
        ("*/15 9-17 * jan-nov *", "2026-11-27T17:45", True),
        ("*/15 9-17 * dec *", "2026-11-27T17:45", False),
        ("0 0 13 * */5", "2026-11-13T00:00", True),  # a step of a star is a star: both day fields must do
        ("0 0 13 * */5", "2026-11-20T00:00", False),
        ("0 0 * * SAT,Sun", "2026-11-28T00:00", True),
        ("10/20 * * * *", "2026-11-28T00:50", True),  # from ten on
    ],
)
def test_cron(expression: str, moment: str, matches: bool) -> None:
    at = datetime.fromisoformat(moment)
    assert (Cron.parse(expression).last_before(at, timedelta(minutes=1)) == at) is matches


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("0 18 * *", "'0 18 * *' has 4 fields: cron has five"),
        ("0 0 18 * * fri", "has 6 fields"),  # no seconds
        ("60 * * * *", "'60 * * * *' is not cron: bad minute"),
        ("* 5-3 * * *", "bad hour"),
        ("* * * * noday", "bad day-of-week"),
        ("0 0 30 2 *", "bad day-of-month"),  # it would never fire
    ],
)
def test_what_is_not_cron_is_refused_with_the_field(expression: str, words: str) -> None:
    with pytest.raises(CronError, match=re.escape(words)):
        Cron.parse(expression)


def test_a_start_on_a_day_of_daylight_saving_is_read_on_the_zones_clock() -> None:
    paris = ZoneInfo("Europe/Paris")
    noon = datetime(2026, 3, 29, 12, 0, tzinfo=paris)  # at two the clock was put to three
    daily = Cron.parse("30 2 * * *")
    assert daily.last_before(noon, timedelta(days=1)) == datetime(2026, 3, 29, 2, 30, tzinfo=paris)
    autumn = datetime(2026, 10, 25, 12, 0, tzinfo=paris)  # half past two came twice
    assert daily.last_before(autumn, timedelta(hours=10)) == datetime(2026, 10, 25, 2, 30, tzinfo=paris)


@pytest.mark.parametrize(("text", "seconds"), [("1h30m", 5400.0), ("45s", 45.0), ("", 0.0), ("1.5h", 5400.0)])
def test_durations_are_gos(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


def test_a_review_travels_to_a_webhook_and_back() -> None:
    posted = json.loads(json.dumps(question("u", "west-europe", "default", Replicas(9, 4, 1, 4))))
    assert posted["request"]["status"] == {
        "replicas": 9,
        "readyReplicas": 4,
        "reservedReplicas": 1,
        "allocatedReplicas": 4,
    }
    assert posted["response"] is None
    review = read_question(posted)
    assert (review.uid, review.fleet_name, review.fleet) == ("u", "west-europe", Replicas(9, 4, 1, 4))
    decision = parse_policy(json.dumps(buffer(7))).policy.decide(review.fleet, 0.0)
    answered = json.loads(json.dumps(answer(posted, review.uid, decision)))
    assert answered["response"] == {"uid": "u", "scale": True, "replicas": 12}
    assert answered["request"] == posted["request"]
    assert read_answer(answered, "u", "http://x").replicas == 12


@given(json_values)
def test_any_json_is_a_review_or_an_error(value: Any) -> None:
    for read in (read_question, lambda body: read_answer(body, "u", "http://x")):
        with_error: Any = None
        try:
            read(value)
        except ValueError as error:
            with_error = error
        assert with_error is None or "\n" not in str(with_error)
