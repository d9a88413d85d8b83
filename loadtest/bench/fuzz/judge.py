"""What an answer may be, whatever was asked.

The one server error is 503, and it says when to come back. Every error is problem details (RFC 9457), each
answer is one that the document names. A body that the document calls wrong is refused, but for fields that
it does not know: a newer caller may add some.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import requests
from schemathesis import Case, GenerationMode
from schemathesis.core.failures import FailureGroup
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

PROBLEM = "application/problem+json"
EVENTS = "text/event-stream"
CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
UNKNOWN_FIELD = "violates `additionalProperties`"
_PLACE = re.compile(r"/[0-9]+")
MAX_SHOWN = 400  # characters of what is shown of a fault


def faults(case: Case, answer: requests.Response) -> Iterator[str]:
    """Say what is wrong with an answer, a line for each fault.

    Args:
        case: what was asked.
        answer: whole, but for a stream of events, of which nothing is read.
    """
    status = answer.status_code
    if status >= 500 and not (status == 503 and "Retry-After" in answer.headers):
        yield f"a {status}" if status != 503 else "a 503 without Retry-After"
    if status >= 400:
        yield from _problem_faults(answer)
    if not answer.headers.get("Content-Type", "").startswith(EVENTS):
        checks = [*CHECKS, negative_data_rejection] if _has_wrong_body(case) else CHECKS
        try:
            case.validate_response(answer, checks=checks)
        except FailureGroup as group:
            for failure in group.exceptions:
                if UNKNOWN_FIELD not in (line := _line(failure)):
                    yield line


def stricter(case: Case, answer: requests.Response) -> str | None:
    """Say for which reason of form a request was refused that the document calls right; None: it was not.

    Rules about several fields at once are in no document; all others could be.
    """
    is_right = case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE
    refused = answer.status_code == 422 and _slug(answer) == "invalid-request"
    return _PLACE.sub("/…", _detail(answer)) if is_right and refused else None


def _has_wrong_body(case: Case) -> bool:
    # On the wire a path and a query are text: what is meant to be wrong may be right there.
    body = case.meta.components.get(ParameterLocation.BODY) if case.meta is not None else None
    return body is not None and body.mode is GenerationMode.NEGATIVE


def _problem_faults(answer: requests.Response) -> Iterator[str]:
    kind = answer.headers.get("Content-Type", "")
    if kind.partition(";")[0] != PROBLEM:
        yield f"a {answer.status_code} that is {kind or 'nothing'}, no problem details"
        return
    body = _json(answer)
    if not isinstance(body, dict) or not {"type", "title", "status"} <= body.keys():
        yield f"a {answer.status_code} without type, title and status"
    elif body["status"] != answer.status_code:
        yield f"a {answer.status_code} whose problem says {body['status']}"


def _slug(answer: requests.Response) -> str:
    body = _json(answer)
    return str(body.get("type", "")).removeprefix("urn:launchday:") if isinstance(body, dict) else ""


def _detail(answer: requests.Response) -> str:
    return str(_json(answer).get("detail", ""))[:MAX_SHOWN]


def _json(answer: requests.Response) -> Any:
    try:
        return json.loads(answer.content)
    except ValueError:
        return None


def _line(failure: Exception) -> str:
    return " ".join(str(failure).split())[:MAX_SHOWN]
