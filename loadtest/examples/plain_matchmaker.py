"""A matchmaker over plain HTTP, as an example of a backend that is not ours: the standard library alone.

    python -m loadtest.examples.plain_matchmaker --port 8200 --service-ms 5

It has one worker: logging in and queueing take ``--service-ms`` each, one after the other, so it bears
1000 / service_ms such requests a second, and half as many players. Everything else costs it nothing.

    POST   /login {"device_id"}                        {"token"}
    POST   /tickets {"token", "mode", "party", "key"}  {"ticket"}; party: {"id", "size"} or null
    GET    /tickets/ID?wait_s=20                       {"state", "match"}, as soon as it is not "searching"
    DELETE /tickets/ID                                 the same: "cancelled", or "matched" if too late
    DELETE /matches/ID/players/TICKET                  a player leaves; the match ends with the last one
    GET    /counters                                   what has been done, as numbers
    GET    /metrics                                    the same and the backlog, as Prometheus text

Where more than ``--backlog`` requests wait for the worker, it answers 503 with Retry-After.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import sys
import time
from dataclasses import dataclass, field
from http import HTTPStatus

from loadtest.examples.matching import next_match
from loadtest.examples.plain_http import Answer, Request, serve

RETRY_AFTER_S = 1
MAX_WAIT_S = 30.0  # of one long poll
FILL_POLL_S = 0.1


@dataclass(slots=True)
class Ticket:
    """A player in the queue.

    Attributes:
        party: the group that is not to be split, and how many it has.
        since_s: when it was opened, by the monotonic clock.
        decided: set when it is not searching any more.
    """

    id: str
    mode: str
    party: str
    party_size: int
    since_s: float
    state: str = "searching"
    match: str = ""
    decided: asyncio.Event = field(default_factory=asyncio.Event)


class Worker:
    """Does one thing after the other, each of which takes the same time.

    Args:
        service_s: seconds of each.
        backlog: the most that may wait.
    """

    def __init__(self, service_s: float, backlog: int) -> None:
        self.waiting = 0
        self._service_s, self._backlog = service_s, backlog
        self._free_at = 0.0

    async def work(self) -> bool:
        """Wait for the turn and do it; False at once where too many wait."""
        if self.waiting >= self._backlog:
            return False
        now = time.monotonic()
        self._free_at = max(now, self._free_at) + self._service_s
        self.waiting += 1
        try:
            await asyncio.sleep(self._free_at - now)
        finally:
            self.waiting -= 1
        return True


class Matchmaker:
    """The matchmaker and its counters.

    Args:
        worker: does what costs something.
        match_players: of a full match.
        fill_s: seconds after which a match starts with fewer, but for one.
    """

    def __init__(self, worker: Worker, match_players: int, fill_s: float) -> None:
        self._worker, self._match_players, self._fill_s = worker, match_players, fill_s
        self._numbers = itertools.count(1)
        self._tickets: dict[str, Ticket] = {}
        self._by_key: dict[str, str] = {}
        self._searching: dict[str, Ticket] = {}
        self._playing: dict[str, set[str]] = {}
        self.counters = dict.fromkeys(
            ("logins", "queued", "matched", "cancelled", "matches_formed", "matches_ended", "refused"), 0
        )

    async def handle(self, request: Request) -> Answer:
        """Answer a request."""
        match (request.method, *request.path):
            case ("POST", "login" | "tickets" as what):
                if not isinstance(request.body, dict):
                    return Answer(HTTPStatus.BAD_REQUEST, {"error": "the body is no object"})
                if not await self._worker.work():
                    self.counters["refused"] += 1
                    retry = {"Retry-After": str(RETRY_AFTER_S)}
                    return Answer(HTTPStatus.SERVICE_UNAVAILABLE, {"error": "too many wait"}, retry)
                return self._log_in(request) if what == "login" else self._queue(request)
            case ("GET", "tickets", ticket_id) if ticket_id in self._tickets:
                ticket = self._tickets[ticket_id]
                wait_s = min(float(request.query.get("wait_s", "0")), MAX_WAIT_S)
                if ticket.state == "searching" and wait_s > 0:
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(ticket.decided.wait(), wait_s)
                return _shown(ticket)
            case ("DELETE", "tickets", ticket_id) if ticket_id in self._tickets:
                ticket = self._tickets[ticket_id]
                if ticket.state == "searching":
                    self._decide(ticket, "cancelled")
                    self.counters["cancelled"] += 1
                return _shown(ticket)
            case ("DELETE", "matches", match_id, "players", ticket_id) if match_id in self._playing:
                self._leave(match_id, ticket_id)
                return Answer()
            case ("GET", "counters"):
                return Answer(body=self.counters)
            case ("GET", "metrics"):
                return Answer(body=self._metrics())
        return Answer(HTTPStatus.NOT_FOUND, {"error": "there is no such thing"})

    def _log_in(self, request: Request) -> Answer:
        self.counters["logins"] += 1
        return Answer(body={"token": f"token-{request.body.get('device_id', '')}"})

    def _queue(self, request: Request) -> Answer:
        key, party = str(request.body.get("key", "")), request.body.get("party") or {}
        if key and key in self._by_key:
            return Answer(HTTPStatus.CREATED, {"ticket": self._by_key[key]})
        number = str(next(self._numbers))
        ticket = Ticket(
            id=number,
            mode=str(request.body.get("mode", "")),
            party=str(party.get("id") or f"alone-{number}"),
            party_size=int(party.get("size", 1)),
            since_s=time.monotonic(),
        )
        self._tickets[number] = self._searching[number] = ticket
        self._by_key[key] = number
        self.counters["queued"] += 1
        self._form_matches(ticket.mode)
        return Answer(HTTPStatus.CREATED, {"ticket": number})

    async def fill(self) -> None:
        """Start matches that are not full when the oldest of their players has waited for the fill time."""
        while True:
            await asyncio.sleep(FILL_POLL_S)
            for mode in {ticket.mode for ticket in self._searching.values()}:
                self._form_matches(mode)

    def _form_matches(self, mode: str) -> None:
        while chosen := next_match(
            [ticket for ticket in self._searching.values() if ticket.mode == mode],
            self._match_players,
            self._fill_s,
            time.monotonic(),
        ):
            match_id = f"match-{next(self._numbers)}"
            self._playing[match_id] = {ticket.id for ticket in chosen}
            self.counters["matches_formed"] += 1
            self.counters["matched"] += len(chosen)
            for ticket in chosen:
                ticket.match = match_id
                self._decide(ticket, "matched")

    def _decide(self, ticket: Ticket, state: str) -> None:
        ticket.state = state
        ticket.decided.set()
        del self._searching[ticket.id]

    def _leave(self, match_id: str, ticket_id: str) -> None:
        players = self._playing[match_id]
        players.discard(ticket_id)
        self._tickets.pop(ticket_id, None)
        if not players:
            del self._playing[match_id]
            self.counters["matches_ended"] += 1

    def _metrics(self) -> str:
        lines = []
        for name, count in self.counters.items():
            lines += [f"# TYPE plain_{name}_total counter", f"plain_{name}_total {count}"]
        for name, level in (
            ("tickets_searching", len(self._searching)),
            ("matches_playing", len(self._playing)),
            ("worker_backlog", self._worker.waiting),
        ):
            lines += [f"# TYPE plain_{name} gauge", f"plain_{name} {level}"]
        lines += [
            "# TYPE process_cpu_seconds_total counter",
            f"process_cpu_seconds_total {time.process_time()}",
        ]
        return "\n".join(lines) + "\n"


def _shown(ticket: Ticket) -> Answer:
    return Answer(body={"state": ticket.state, "match": ticket.match or None})


async def run(port: int, service_ms: float, match_players: int, fill_s: float, backlog: int) -> None:
    """Serve until cancelled, and say on which port."""
    matchmaker = Matchmaker(Worker(service_ms / 1e3, backlog), match_players, fill_s)
    server = await serve(matchmaker.handle, "127.0.0.1", port)
    sys.stdout.write(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    async with server:
        await matchmaker.fill()


def main() -> int:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.examples.plain_matchmaker", description="A matchmaker over plain HTTP."
    )
    parser.add_argument("--port", type=int, default=8200, help="0: a free one (default: %(default)s)")
    parser.add_argument(
        "--service-ms", type=float, default=1.0, help="of a login and of queueing (%(default)s)"
    )
    parser.add_argument("--match-players", type=int, default=4, help="of a full match (%(default)s)")
    parser.add_argument(
        "--fill-s", type=float, default=2.0, help="until a match starts with fewer (%(default)s)"
    )
    parser.add_argument("--backlog", type=int, default=1_000, help="requests that may wait (%(default)s)")
    options = parser.parse_args()
    try:
        asyncio.run(
            run(options.port, options.service_ms, options.match_players, options.fill_s, options.backlog)
        )
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        sys.stderr.write(f"port {options.port}: {error.strerror}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
