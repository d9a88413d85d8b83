"""How FastAPI takes and gives this service's messages, which are msgspec structures, no pydantic models."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

from fastapi import Body, FastAPI, Path, Query, Response
from fastapi.routing import APIRoute
from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from meta_service.messages.base import PLAYER_ID_SCHEMA, Message, encode, parse_player_id, schemas
from meta_service.messages.operators import check_reason

T = TypeVar("T")

FromBody = Annotated[T, Body()]
"""A message in a request's body: ``FromBody[CommitRequest]``. A wrong body is answered with 422."""

OtherPlayer = Annotated[
    int,
    BeforeValidator(parse_player_id),
    WithJsonSchema(PLAYER_ID_SCHEMA),
    Path(description="The other player's id."),
]


Cursor = Annotated[
    str,
    Query(
        # Of one stream, or of its parts in every partition: at most 256 times 8 bytes, in base64.
        pattern=r"^([0-9]{1,16}-[0-9]{1,16}|~[A-Za-z0-9_-]{1,4096})$",
        description="The last answer's cursor.",
    ),
]
"""How far a stream was followed."""


def _read_reason(text: str) -> str:
    try:
        check_reason(text)
    except ValueError as error:
        raise ValueError(str(error).partition(" - at ")[0]) from error
    return text


WhyQuery = Annotated[
    str,
    Query(pattern=r"^[^\x00-\x1f\x7f-\x9f]{1,200}$", description="Why, in a line."),
    AfterValidator(_read_reason),
]
"""An operator's reason, where a request has no body."""


class MessageRoute(APIRoute):
    """A route whose function returns a message, which is encoded as it is, without another check."""

    def __init__(self, path: str, endpoint: Callable[..., Awaitable[Message]], **options: Any) -> None:
        @functools.wraps(endpoint)
        async def respond(*args: Any, **kwargs: Any) -> Response:
            return Response(encode(await endpoint(*args, **kwargs)), media_type="application/json")

        super().__init__(path, respond, **options)


def describe(app: FastAPI) -> None:
    """Put the messages' schemas into the OpenAPI document of ``app``."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = generate()
            names = _name_messages(document["paths"])
            kinds = [kind for kind in _subclasses(Message) if kind.__name__ in names]
            document.setdefault("components", {}).setdefault("schemas", {}).update(schemas(kinds))
        assert app.openapi_schema is not None
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI documents this way of extending the document


def _name_messages(part: Any) -> set[str]:
    """Replace each stand-in below ``part`` by a reference to its schema; return the messages' names."""
    names = set()
    for inner in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        if isinstance(inner, dict) and (name := inner.get("x-message")):
            inner.clear()
            inner["$ref"] = f"#/components/schemas/{name}"
            names.add(name)
        else:
            names |= _name_messages(inner)
    return names


def _subclasses(kind: type[Message]) -> set[type[Message]]:
    return {kind, *(found for inner in kind.__subclasses__() for found in _subclasses(inner))} - {Message}
