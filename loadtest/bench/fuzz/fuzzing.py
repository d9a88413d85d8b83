"""One API, tried for a while: each operation of its document in turn, by each kind of caller.

Requests that are only random reach little: an id that nobody has is a 404. So ids of answers are remembered
by their fields' names and put into later requests, now and then.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

import requests
from hypothesis import HealthCheck, Phase, given, seed
from hypothesis import settings as hypothesis_settings
from schemathesis import Case, GenerationMode
from schemathesis.core import NotSet
from schemathesis.openapi import from_dict

from launchday.clock import Clock
from loadtest.bench.fuzz.callers import Callers
from loadtest.bench.fuzz.judge import EVENTS, faults, stricter

EXAMPLES = 6  # of an operation at a time
PATIENCE_S = 20.0  # for one answer
KNOWN = 0.5  # how often a known id takes the place of a random one
REMEMBERED = 20  # values of each field
MAX_ANSWER_BYTES = 4_000_000
SHOWN = 700  # characters of a request
IDS = ("_id", "name", "entry", "season", "match", "server", "token", "key", "item", "currency", "cursor")

# Without these, most of what is about tickets and money ends at the first check.
WORDS: dict[str, list[Any]] = {
    "mode": ["battle_royale", "teams_of_five"],
    "region": ["west-europe"],
    "latencies_ms": [{"west-europe": 20.0, "east-us": 90.5}],
    "currency": ["coins"],
    "item_id": ["nightfall", "supply-crate"],
    "skin": ["recruit", "nightfall"],
}

Findings = dict[tuple[str, str], tuple[int, str]]


@dataclass
class Tried:
    """What came of it.

    Attributes:
        requests: made.
        statuses: answers by status.
        wrong: by operation and fault: how often, and the first request.
        stricter: the same, of requests that the document calls right and the API refused for their form.
    """

    requests: int = 0
    statuses: dict[int, int] = field(default_factory=dict)
    wrong: Findings = field(default_factory=dict)
    stricter: Findings = field(default_factory=dict)


def _note(findings: Findings, operation: str, what: str, request: str) -> None:
    times, first = findings.get((operation, what), (0, request))
    findings[operation, what] = times + 1, first


class Fuzzer:
    """Tries one API.

    Args:
        url: where it listens.
        document: its OpenAPI document.
        callers: who asks.
        clock: says when it is over.
        seed_: of callers and inputs.
        max_wait_s: of a long poll; longer ones are made as long as this.
    """

    def __init__(
        self,
        url: str,
        document: dict[str, Any],
        callers: Callers,
        clock: Clock,
        seed_: int = 1,
        max_wait_s: float = 1.0,
    ) -> None:
        self._url = url
        self._callers = callers
        self._clock = clock
        self._seed = seed_
        self._random = Random(seed_)
        self._session = requests.Session()
        self._seen = {name: list(values) for name, values in WORDS.items()}
        self._max_wait_s = max_wait_s
        self._operations = [found.ok() for found in from_dict(document).get_all_operations()]
        self.tried = Tried()

    def run(self, seconds: float) -> Tried:
        """Try all operations again and again for so long. Blocks."""
        until = self._clock.monotonic() + seconds
        strategies = {}
        turn = 0
        while self._clock.monotonic() < until:
            turn += 1
            for operation in self._operations:
                if self._clock.monotonic() >= until:
                    break
                if operation.label not in strategies:
                    strategies[operation.label] = _strategy(operation)
                self._try(strategies[operation.label], turn, until)
        self._session.close()
        return self.tried

    def _try(self, strategy: Any, turn: int, until: float) -> None:
        @seed(self._seed * 1_000_003 + turn)
        @hypothesis_settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=strategy)
        def send(case: Case) -> None:
            if self._clock.monotonic() < until:
                self._send(case)

        send()

    def _send(self, case: Case) -> None:
        operation = case.operation.label
        kind, token = self._callers.headers(operation, self._random)
        self._put_known(case)
        headers = {**token, "User-Agent": f"fuzz ({kind})"}
        self.tried.requests += 1
        shown = _shown(kind, case)
        try:
            arguments = case.as_transport_kwargs(base_url=self._url, headers=headers)
            arguments |= {"stream": True, "timeout": PATIENCE_S, "allow_redirects": False}
            answer = self._session.request(**arguments)
            self._read(answer)
        except requests.Timeout:
            _note(self.tried.wrong, operation, f"no answer within {PATIENCE_S:g} s", shown)
            return
        except requests.RequestException as error:
            _note(self.tried.wrong, operation, f"no answer: {type(error).__name__}", shown)
            return
        self._callers.answered(operation, kind, token, answer.status_code)
        self.tried.statuses[answer.status_code] = self.tried.statuses.get(answer.status_code, 0) + 1
        said = f"{shown} → {_said(answer)}"
        for what in faults(case, answer):
            _note(self.tried.wrong, operation, what, said)
        if (strict := stricter(case, answer)) is not None:
            _note(self.tried.stricter, operation, strict, said)
        self._remember(answer)

    def _read(self, answer: requests.Response) -> None:
        if answer.headers.get("Content-Type", "").startswith(EVENTS):
            answer.close()
            return
        answer.content  # noqa: B018  # reads the body, so that the connection can be used again

    def _put_known(self, case: Case) -> None:
        """Put known ids in, and make long polls short."""
        for place in (case.path_parameters, case.query, case.body):
            if not isinstance(place, dict):
                continue
            for name, value in list(place.items()):
                if name in self._seen and self._random.random() < KNOWN:
                    place[name] = self._random.choice(self._seen[name])
                elif "wait" in name and isinstance(value, int | float) and value > self._max_wait_s:
                    place[name] = self._max_wait_s

    def _remember(self, answer: requests.Response) -> None:
        if answer.status_code >= 400 or "json" not in answer.headers.get("Content-Type", ""):
            return
        if len(answer.content) > MAX_ANSWER_BYTES:
            return
        try:
            found = json.loads(answer.content)
        except ValueError:
            return
        for name, value in _fields(found):
            values = self._seen.setdefault(name, [])
            if value not in values:
                values.append(value)
                del values[:-REMEMBERED]


def _strategy(operation: Any) -> Any:
    """Right and wrong inputs; wrong ones only where there is anything to be wrong."""
    inputs = operation.as_strategy()
    if operation.body or operation.query or operation.path_parameters:
        return inputs | operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)
    return inputs


def _fields(found: Any) -> Iterator[tuple[str, Any]]:
    match found:
        case dict():
            for name, value in found.items():
                if isinstance(value, str | int) and str(name).endswith(IDS):
                    yield str(name), value
                else:
                    yield from _fields(value)
        case list():
            for each in found:
                yield from _fields(each)


def _shown(kind: str, case: Case) -> str:
    """The request as it was meant, without the token."""
    body = "" if isinstance(case.body, NotSet) else f" {case.body!r}"
    return f"{kind}: {case.method} {case.path} {case.path_parameters or ''} {case.query or ''}{body}"[:SHOWN]


def _said(answer: requests.Response) -> str:
    if answer.headers.get("Content-Type", "").startswith(EVENTS):
        return f"{answer.status_code} events"
    return f"{answer.status_code} {answer.content[:300].decode(errors='replace')}"
