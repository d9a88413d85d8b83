"""A stub that answers as the HTTP frontend of Open Match does, by its published schema (api/frontend.proto,
version 1.8): enough of it to flood, with a match function of its own and no game servers.

    python -m loadtest.examples.open_match_stub --port 51504

    POST   /v1/frontendservice/tickets                 {"ticket": {...}} → the ticket with its id
    GET    /v1/frontendservice/tickets/ID              the ticket, with its assignment once it has one
    DELETE /v1/frontendservice/tickets/ID              {}
    GET    /v1/frontendservice/tickets/ID/assignments  a stream: {"result": {"assignment": ...}}, a line each

What cannot be answered is a status of gRPC, {"code", "message", "details"}. The stub's match function puts
tickets with the same tags together; tickets with the same string argument "party" are not split.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import sys
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from loadtest.examples.matching import next_match
from loadtest.examples.plain_http import Answer, Request, serve

PREFIX = ("v1", "frontendservice", "tickets")
CYCLE_S = 0.1  # between two runs of the match function
# Of gRPC: code → status of HTTP.
INVALID_ARGUMENT, NOT_FOUND = 3, 5
HTTP_STATUSES = {INVALID_ARGUMENT: HTTPStatus.BAD_REQUEST, NOT_FOUND: HTTPStatus.NOT_FOUND}

TICKET_FIELDS = {"id", "assignment", "search_fields", "extensions", "persistent_field", "create_time"}
SEARCH_FIELDS: dict[str, type] = {"double_args": dict, "string_args": dict, "tags": list}


@dataclass(slots=True)
class StubTicket:
    """A ticket in the stub's store.

    Attributes:
        shown: as the schema has it.
        pool: its tags, which the match function goes by.
        party, party_size, since_s: as :class:`loadtest.examples.matching.Waiting` has them.
        changed: set when it has been assigned or deleted.
    """

    shown: dict[str, Any]
    pool: tuple[str, ...]
    party: str
    party_size: int
    since_s: float
    changed: asyncio.Event = field(default_factory=asyncio.Event)


class FrontendStub:
    """The store, the frontend and the match function.

    Args:
        match_players: of a full match.
        fill_s: seconds after which a match starts with fewer.
    """

    def __init__(self, match_players: int, fill_s: float) -> None:
        self._match_players, self._fill_s = match_players, fill_s
        self._tickets: dict[str, StubTicket] = {}
        self._searching: dict[str, StubTicket] = {}
        self._matches = 0

    async def handle(self, request: Request) -> Answer:
        """Answer a request."""
        if request.path[: len(PREFIX)] != PREFIX:
            return _status(NOT_FOUND, "Not Found")
        rest = request.path[len(PREFIX) :]
        if request.method == "POST" and not rest:
            return self._create(request.body)
        ticket = self._tickets.get(rest[0]) if rest else None
        if ticket is None:
            return _status(NOT_FOUND, f"Ticket id: {rest[0] if rest else ''} not found")
        match (request.method, *rest[1:]):
            case ("GET",):
                return Answer(body=ticket.shown)
            case ("GET", "assignments"):
                return Answer(body=self._watch(ticket))
            case ("DELETE",):
                del self._tickets[ticket.shown["id"]]
                self._searching.pop(ticket.shown["id"], None)
                ticket.changed.set()
                return Answer()
        return _status(NOT_FOUND, "Not Found")

    def _create(self, body: Any) -> Answer:
        if (mistake := why_no_ticket(body)) is not None:
            return _status(INVALID_ARGUMENT, mistake)
        given = body["ticket"]
        found = given.get("search_fields", {})
        arguments = found.get("string_args", {})
        ticket_id = uuid.uuid4().hex[:20]
        created = datetime.datetime.now(datetime.UTC).isoformat().replace("+00:00", "Z")
        ticket = StubTicket(
            shown={**given, "id": ticket_id, "create_time": created},
            pool=tuple(sorted(found.get("tags", ()))),
            party=arguments.get("party", ticket_id),
            party_size=int(found.get("double_args", {}).get("party_size", 1)),
            since_s=time.monotonic(),
        )
        self._tickets[ticket_id] = self._searching[ticket_id] = ticket
        return Answer(body=ticket.shown)

    async def _watch(self, ticket: StubTicket) -> AsyncIterator[dict[str, Any]]:
        """The assignment when there is one; the stream stays until the ticket is deleted."""
        told: Any = None
        while ticket.shown["id"] in self._tickets:
            ticket.changed.clear()
            assignment = ticket.shown.get("assignment")
            if assignment != told:
                told = assignment
                yield {"result": {"assignment": assignment}}
            else:
                await ticket.changed.wait()
        yield {"error": {"code": NOT_FOUND, "message": "Ticket id not found", "details": []}}

    async def run_matches(self) -> None:
        """Run the match function again and again, and assign what it proposes."""
        while True:
            await asyncio.sleep(CYCLE_S)
            for pool in {ticket.pool for ticket in self._searching.values()}:
                while chosen := next_match(
                    [ticket for ticket in self._searching.values() if ticket.pool == pool],
                    self._match_players,
                    self._fill_s,
                    time.monotonic(),
                ):
                    self._assign(chosen)

    def _assign(self, chosen: list[StubTicket]) -> None:
        self._matches += 1
        network, host = divmod(self._matches, 250)
        for ticket in chosen:
            ticket.shown["assignment"] = {"connection": f"10.0.{network}.{host + 1}:7777"}
            del self._searching[ticket.shown["id"]]
            ticket.changed.set()


def why_no_ticket(body: Any) -> str | None:
    """What of a request to create a ticket breaks with the schema; None where nothing does."""
    if not isinstance(body, dict) or not isinstance(body.get("ticket"), dict):
        return ".ticket is required"
    ticket = body["ticket"]
    if unknown := sorted({*body} - {"ticket"} | {*ticket} - TICKET_FIELDS):
        return f'unknown field "{unknown[0]}"'
    fields = ticket.get("search_fields", {})
    if not isinstance(fields, dict):
        return "search_fields: is no object"
    for name, value in fields.items():
        if name not in SEARCH_FIELDS:
            return f'unknown field "{name}"'
        if not isinstance(value, SEARCH_FIELDS[name]):
            return f"search_fields.{name}: is no {SEARCH_FIELDS[name].__name__}"
    numbers, words = fields.get("double_args", {}), fields.get("string_args", {})
    if any(isinstance(value, bool) or not isinstance(value, int | float) for value in numbers.values()):
        return "search_fields.double_args: are numbers"
    if not all(isinstance(value, str) for value in (*words.values(), *fields.get("tags", ()))):
        return "search_fields.string_args, tags: are strings"
    return None


def _status(code: int, message: str) -> Answer:
    return Answer(HTTP_STATUSES[code], {"code": code, "message": message, "details": []})


async def run(port: int, match_players: int, fill_s: float) -> None:
    """Serve until cancelled, and say where."""
    stub = FrontendStub(match_players, fill_s)
    server = await serve(stub.handle, "127.0.0.1", port)
    sys.stdout.write(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    async with server:
        await stub.run_matches()


def main() -> int:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.examples.open_match_stub",
        description="Answers as the HTTP frontend of Open Match does.",
    )
    parser.add_argument("--port", type=int, default=51504, help="0: a free one (default: %(default)s)")
    parser.add_argument("--match-players", type=int, default=4, help="of a full match (%(default)s)")
    parser.add_argument(
        "--fill-s", type=float, default=2.0, help="until a match starts with fewer (%(default)s)"
    )
    options = parser.parse_args()
    try:
        asyncio.run(run(options.port, options.match_players, options.fill_s))
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        sys.stderr.write(f"port {options.port}: {error.strerror}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
