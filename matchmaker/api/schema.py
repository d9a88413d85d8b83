"""The msgspec messages of the routes in FastAPI: decoded, encoded, and described in the OpenAPI document."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec
from fastapi import FastAPI, Request, Response

from launchday.problems import ProblemError

MEDIA_TYPE = "application/json"

T = TypeVar("T")

encode = msgspec.json.Encoder().encode

ANY = "[...]"
_STEP = re.compile(r"\.(\w+)|\[(\d+)\]|(\[\.\.\.\])")


async def read_body(request: Request, decoder: msgspec.json.Decoder[T]) -> T:
    """Decode a request's body. Raises ProblemError (422) that names the first thing wrong with it."""
    body = await request.body()
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, ValueError) as error:
        reason, _, place = str(error).partition(" - at `$")
        pointer = "/body" + _pointer(decoder, body, place.rstrip("`"))
        raise ProblemError(
            422, "invalid-request", f"{pointer}: {reason}", errors=[{"pointer": pointer, "detail": reason}]
        ) from error


def _pointer(decoder: msgspec.json.Decoder[T], body: bytes, place: str) -> str:
    """Return the JSON pointer of a place as msgspec words it, such as ``.latencies_ms[...]``.

    Where msgspec says ``[...]`` for a member of a map, the member is found by decoding the body with one
    member at a time.
    """
    steps: list[str] = []
    for name, index, _ in _STEP.findall(place):
        steps.append(name or index or ANY)
    document: Any = msgspec.json.decode(body) if ANY in steps else None
    node = document
    for number, step in enumerate(steps):
        if step == ANY:
            members = dict(node)
            for key in members:
                node.clear()
                node[key] = members[key]
                if not _decodes(decoder, document):
                    steps[number] = step = key
                    break
        if document is not None:
            node = node[int(step) if isinstance(node, list) else step]
    return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in steps)


def _decodes(decoder: msgspec.json.Decoder[T], document: Any) -> bool:
    try:
        decoder.decode(encode(document))
    except (msgspec.DecodeError, ValueError):
        return False
    return True


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
