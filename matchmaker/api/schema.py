"""The msgspec messages of the routes in FastAPI: decoded, encoded, and described in the OpenAPI document."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, TypeVar

import msgspec
from fastapi import FastAPI, Request, Response

from launchday.problems import ProblemError
from launchday.whole_numbers import REFUSED, with_whole_numbers

MEDIA_TYPE = "application/json"

T = TypeVar("T")

encode = msgspec.json.Encoder().encode

ANY = "[...]"
AT = " - at `"
KEY_AT = AT + "key` in `"
# Numbers stay as they were written: 1e999 is one, and no float.
_decode_any = msgspec.json.Decoder(float_hook=Decimal).decode
_encode_any = msgspec.json.Encoder(decimal_format="number").encode
_STEP = re.compile(r"\.(\w+)|\[(\d+)\]|(\[\.\.\.\])")


async def read_body(request: Request, decoder: msgspec.json.Decoder[T]) -> T:
    """Decode a request's body. Raises ProblemError (422) that names the first thing wrong with it."""
    body = await request.body()
    try:
        return _decode(decoder, body)
    except (msgspec.DecodeError, ValueError) as error:
        reason, pointer = _reason(error), "/body" + _pointer(decoder, body, str(error))
        raise ProblemError(
            422, "invalid-request", f"{pointer}: {reason}", errors=[{"pointer": pointer, "detail": reason}]
        ) from error


def _decode(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        if REFUSED not in str(error):
            raise
        try:
            body = _encode_any(with_whole_numbers(_decode_any(body)))
        except (msgspec.MsgspecError, RecursionError):  # deep elsewhere, for one
            raise error from None
    return decoder.decode(body)


def _reason(error: Exception) -> str:
    return str(error).partition(AT)[0]


def _pointer(decoder: msgspec.json.Decoder[T], body: bytes, error: str) -> str:
    """Return the JSON pointer of the place that an error of msgspec's names, such as ``$.latencies_ms[...]``.

    Where it says ``[...]`` for a member of a map, the member is found by decoding the body with half of them,
    and half of that half: a body of 100,000 members must not keep others waiting.
    """
    _, in_name, place = error.partition(KEY_AT)
    place = place + ANY if in_name else error.partition(AT)[2]
    steps = [name or index or ANY for name, index, _ in _STEP.findall(place)]
    if ANY in steps:
        try:
            _find_members(decoder, _decode_any(body), steps, error)
        except (msgspec.MsgspecError, RecursionError, LookupError, TypeError):  # deep elsewhere, for one
            steps = steps[: steps.index(ANY)]
    return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in steps)


def _find_members(decoder: msgspec.json.Decoder[T], document: Any, steps: list[str], error: str) -> None:
    """Put the names of members in the places of ANY."""
    node = document
    for number, step in enumerate(steps):
        if step == ANY:
            members = list(node.items())
            low, high = 0, len(members)  # the first wrong one is among these
            while high - low > 1:
                middle = (low + high) // 2
                node.clear()
                node.update(members[low:middle])
                low, high = (low, middle) if _error(decoder, document) == error else (middle, high)
            node.clear()
            node.update(members[low:high])
            steps[number] = step = members[low][0]
        node = node[int(step) if isinstance(node, list) else step]


def _error(decoder: msgspec.json.Decoder[T], document: Any) -> str:
    """What is wrong with a document; empty: nothing."""
    try:
        decoder.decode(_encode_any(document))
    except (msgspec.DecodeError, ValueError) as error:
        return str(error)
    return ""


def answer(message: msgspec.Struct, status: int = 200) -> Response:
    """Return the HTTP answer with a message."""
    return Response(encode(message), status_code=status, media_type=MEDIA_TYPE)


def body_of(message: type[msgspec.Struct]) -> dict[str, Any]:
    """Return a route's ``openapi_extra`` that says which message its body is."""
    return {"requestBody": {"required": True, "content": _content(message)}}


def answers(message: type[msgspec.Struct], *statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return a route's ``responses`` that say which message it answers with these statuses."""
    return {
        status: {"description": (message.__doc__ or "").partition("\n")[0], "content": _content(message)}
        for status in statuses
    }


def answers_by_name(message: type[msgspec.Struct]) -> dict[int | str, dict[str, Any]]:
    """Return a route's ``responses`` that say that it answers 200 with a map of names to messages."""
    [(status, said)] = answers(message, 200).items()
    schema = said["content"][MEDIA_TYPE]["schema"]
    said["content"][MEDIA_TYPE]["schema"] = {"type": "object", "additionalProperties": schema}
    return {status: said}


def describe(app: FastAPI, messages: Iterable[type[msgspec.Struct]]) -> None:
    """Add the schemas of messages, and of those within them, to the application's OpenAPI document."""
    _, components = msgspec.json.schema_components(messages, ref_template="#/components/schemas/{name}")
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        document.setdefault("components", {}).setdefault("schemas", {}).update(components)
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _content(message: type[msgspec.Struct]) -> dict[str, Any]:
    return {MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{message.__name__}"}}}
