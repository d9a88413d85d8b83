"""How others reach a fleet: the allocator call for directors, the admin API for operators and load tests.

The errors are drawn in `dedicated_server.errors`.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx2

from dedicated_server.agones_sdk import FLEET_LABEL, MATCH_ANNOTATION
from dedicated_server.errors import DedicatedServerError
from dedicated_server.protocol.server_addresses import ServerAddresses
from launchday.resilience.http_client import NoAnswerError, Response, ServiceClient, Token

IDEMPOTENCY_HEADER = "Idempotency-Key"

ALLOCATE_PATIENCE_S = 5.0  # the fleet answers in milliseconds; Agones' allocator batches for 500 ms
ADMIN_PATIENCE_S = 10.0  # a list of all servers with their reports is large


class FleetError(DedicatedServerError):
    """Base of what a fleet client raises."""


class NoServerReadyError(FleetError):
    """Raised when the region has no Ready server, or as many matches are starting as it carries (HTTP 429).

    The caller keeps its match and asks again later.

    Attributes:
        retry_after_s: the seconds that the fleet asked for, 0 where it named none.
    """

    def __init__(self, message: str, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class FleetUnavailableError(FleetError):
    """Raised when no usable answer came: no connection, a time-out, contention (409) or a 5xx.

    It is unknown whether a server was allocated; the caller repeats the call with the same idempotency key.
    """


class FleetRefusedError(FleetError):
    """Raised when the fleet refuses the request (other 4xx), such as a bad token. Repeating it is no use."""


class UnknownInFleetError(FleetRefusedError):
    """Raised when the fleet does not know what was asked for (HTTP 404)."""


class MatchLostError(FleetRefusedError):
    """Raised when the match of a key began on a server that is gone (HTTP 410): it may not begin again.

    The caller makes another match of its players, under another key.
    """


@dataclass(frozen=True, slots=True)
class Allocation:
    """A game server that now belongs to one match.

    Attributes:
        name: the game server's name in the fleet.
        addresses: where it is reached.
        port: UDP port.
    """

    name: str
    addresses: ServerAddresses
    port: int


class _FleetHttp:
    """A pool of HTTP connections to a fleet, whose errors are ours."""

    def __init__(
        self, base_url: str, token: Token | None, patience_s: float, tls: ssl.SSLContext | None = None
    ) -> None:
        # Nothing is repeated here: a director asks again by itself, and an operator's command is given once.
        self._http = ServiceClient(base_url, token=token, patience_s=patience_s, tls=tls, retry=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    @property
    def base_url(self) -> str:
        """The fleet's address."""
        return self._http.base_url

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _call(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        try:
            response = await self._http.request(method, path, **request)
        except NoAnswerError as error:
            raise FleetUnavailableError(
                f"no answer from the fleet at {self._http.base_url}: {error}"
            ) from error
        if response.status_code == httpx2.codes.TOO_MANY_REQUESTS:
            raise NoServerReadyError(_detail(response), _retry_after_s(response))
        if response.status_code == httpx2.codes.CONFLICT or response.is_server_error:
            raise FleetUnavailableError(f"HTTP {response.status_code}: {_detail(response)}")
        if response.status_code == httpx2.codes.GONE:
            raise MatchLostError(_detail(response))
        if response.status_code == httpx2.codes.NOT_FOUND:
            raise UnknownInFleetError(f"HTTP 404: {_detail(response)}")
        if not response.is_success:
            raise FleetRefusedError(f"HTTP {response.status_code}: {_detail(response)}")
        if response.status_code == httpx2.codes.NO_CONTENT:
            return {}
        try:
            body = response.json()
        except ValueError as error:
            raise FleetUnavailableError("the fleet's answer is not JSON") from error
        if not isinstance(body, dict):
            raise FleetUnavailableError("the fleet's answer is not a JSON object")
        return body


class AllocatorClient(_FleetHttp):
    """Allocates Ready servers: ours, or Agones' where ``base_url`` is that of an agones-allocator.

    Args:
        base_url: for example ``http://127.0.0.1:8103``.
        token: a service token, or what gives one, which our fleet asks for; Agones uses client
            certificates instead.
        patience_s: seconds for one call in all.
        tls: certificates, see ``mutual_tls``; the system's authorities by default.
    """

    def __init__(
        self,
        base_url: str,
        token: Token | None = None,
        *,
        patience_s: float = ALLOCATE_PATIENCE_S,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(base_url, token, patience_s, tls)

    async def allocate(
        self, *, region: str, match: Mapping[str, Any], idempotency_key: str, namespace: str = "default"
    ) -> Allocation:
        """Take one Ready server for a match.

        Args:
            region: whose servers may be taken.
            match: the match in JSON's types; the server reads it from its own annotation.
            idempotency_key: the same key always gives the same server, so a call whose answer was lost may be
                repeated.
            namespace: Agones' namespace of the fleet.

        Raises NoServerReadyError, FleetUnavailableError, FleetRefusedError, MatchLostError.
        """
        body = {
            "namespace": namespace,
            "gameServerSelectors": [{"matchLabels": {FLEET_LABEL: region}, "gameServerState": "READY"}],
            "scheduling": "Packed",
            "metadata": {"annotations": {MATCH_ANNOTATION: json.dumps(match, separators=(",", ":"))}},
        }
        answer = await self._call(
            "POST", "/gameserverallocation", json=body, headers={IDEMPOTENCY_HEADER: idempotency_key}
        )
        try:
            addresses = ServerAddresses.parse(str(answer["address"]), answer.get("addresses"))
            return Allocation(str(answer["gameServerName"]), addresses, int(answer["ports"][0]["port"]))
        except (LookupError, TypeError, ValueError) as error:
            raise FleetUnavailableError("the fleet's answer names no server") from error


@dataclass(frozen=True, slots=True)
class FinishedMatch:
    """A match that is over.

    Attributes:
        match_id: its id, "" where its annotation named none.
        server, region: the game server that it was on.
        player_ids: its roster as its annotation named it.
        reason: why it failed, "" where it ended.
        at: when that became known, Unix seconds.
        ended: True where it ended with a result, False where it failed.
    """

    match_id: str
    server: str
    region: str
    player_ids: tuple[int, ...]
    reason: str
    at: float
    ended: bool


@dataclass(frozen=True, slots=True)
class MatchStatus:
    """How the game server of a match is.

    Attributes:
        state: Agones' name of its state.
        server: its name.
        alive: it is Allocated, and the fleet hears its heartbeats.
        heartbeat_age_s: seconds since the last of them.
        reported: it has reported on its match; "starting" is a report too.
        reason: why the server ended, or its match failed; "" while neither is known.
    """

    state: str
    server: str
    alive: bool
    heartbeat_age_s: float
    reported: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a follower has read; ask with the cursor of the last answer.

    ``Cursor()`` begins with the oldest change that is kept.
    """

    epoch: str = ""
    seq: int = 0


class FleetAdminClient(_FleetHttp):
    """Reads and changes what a fleet is doing.

    Reading needs a token with the role service, operator or viewer, changing one with the role operator.
    Every call raises FleetUnavailableError and FleetRefusedError. Arguments and results are those of
    `AllocatorClient`.
    """

    def __init__(
        self,
        base_url: str,
        token: Token | None = None,
        *,
        patience_s: float = ADMIN_PATIENCE_S,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(base_url, token, patience_s, tls)

    async def fleet(self) -> dict[str, Any]:
        """Return counts by state: ``{"regions": {region: {state: n}}, "total": {state: n}}``."""
        return await self._call("GET", "/v1/fleet")

    async def fleets(self) -> list[dict[str, Any]]:
        """Return the fleets, one a region: counts, idle servers wanted, the autoscaler's last decision."""
        found: list[dict[str, Any]] = (await self._call("GET", "/v1/fleets"))["fleets"]
        return found

    async def gameservers(self, **filters: str) -> list[dict[str, Any]]:
        """Return every game server without its history and log, those that are gone but remembered included.

        ``filters`` are ``region``, ``state`` and ``live``.
        """
        servers: list[dict[str, Any]] = (await self._call("GET", "/v1/gameservers", params=filters))[
            "gameservers"
        ]
        return servers

    async def gameserver(self, name: str) -> dict[str, Any]:
        """Return one game server with its history, last report and the tail of its log."""
        return await self._call("GET", f"/v1/gameservers/{_quoted(name)}")

    async def match(self, match_id: str) -> MatchStatus | None:
        """Return how the server of a match is; None where the fleet knows of none.

        Raises FleetUnavailableError, FleetRefusedError.
        """
        try:
            found = await self._call("GET", f"/v1/matches/{_quoted(match_id)}")
        except UnknownInFleetError:
            return None
        try:
            return MatchStatus(
                state=str(found["state"]),
                server=str(found["server"]),
                alive=bool(found["alive"]),
                heartbeat_age_s=float(found["heartbeat_age_s"]),
                reported=bool(found["reported"]),
                reason=str(found.get("reason", "")),
            )
        except (LookupError, TypeError, ValueError) as error:
            raise FleetUnavailableError("the fleet's answer says nothing of the match") from error

    async def end_match(self, match_id: str) -> None:
        """End the server of a match if it lives, and let the match have none later. May be repeated.

        Needs a token with the role service or operator. Raises FleetUnavailableError, FleetRefusedError.
        """
        await self._call("DELETE", f"/v1/matches/{_quoted(match_id)}")

    async def map(self, name: str) -> dict[str, Any]:
        """Return the match of a game server at this moment. FleetRefusedError: it shows none."""
        return await self._call("GET", f"/v1/gameservers/{_quoted(name)}/map")

    async def counters(self) -> dict[str, Any]:
        """Return counts since the fleet started, and the last report of every server that ran a match."""
        return await self._call("GET", "/v1/counters")

    async def history(self, since: float = 0.0) -> list[dict[str, Any]]:
        """Return the counts of each region later than ``since`` (Unix seconds), one sample a second."""
        samples: list[dict[str, Any]] = (await self._call("GET", "/v1/history", params={"since": since}))[
            "samples"
        ]
        return samples

    async def decisions(self) -> list[dict[str, Any]]:
        """Return what the autoscalers changed and why, the newest first."""
        found: list[dict[str, Any]] = (await self._call("GET", "/v1/decisions"))["decisions"]
        return found

    async def allocations(self) -> list[dict[str, Any]]:
        """Return the latest allocations, the newest first."""
        found: list[dict[str, Any]] = (await self._call("GET", "/v1/allocations"))["allocations"]
        return found

    async def changes(
        self, cursor: Cursor, *, kind: str = "", wait_s: float = 0.0
    ) -> tuple[Cursor, list[dict[str, Any]], bool]:
        """Return the next cursor, the changes after ``cursor``, and whether some between are lost.

        Waits up to ``wait_s`` for a change where there is none; ``kind`` selects the changes of one kind.
        """
        params = {"epoch": cursor.epoch, "since": cursor.seq, "kind": kind, "wait_s": wait_s}
        answer = await self._call("GET", "/v1/changes", params=params, wait_s=wait_s)
        return Cursor(str(answer["epoch"]), int(answer["seq"])), list(answer["changes"]), bool(answer["lost"])

    async def finished_matches(
        self, cursor: Cursor, *, wait_s: float = 0.0
    ) -> tuple[Cursor, list[FinishedMatch], bool]:
        """Return the next cursor, the matches that ended since ``cursor``, and whether some are lost.

        A match failed when its server crashed, hung, was killed, or never began it. The fleet ends the
        check-outs of its players; the caller puts them back into the queue with their age. A fleet that was
        killed publishes its open matches once it runs again. Where matches are lost, the caller asks
        ``gameservers`` which of its matches still run.
        """
        after, changes, lost = await self.changes(cursor, kind="match", wait_s=wait_s)
        finished = [
            FinishedMatch(
                match_id=str(change["match_id"] or ""),
                server=str(change["name"]),
                region=str(change["region"]),
                player_ids=tuple(int(id_) for id_ in change["player_ids"]),
                reason=str(change["reason"]),
                at=float(change["at"]),
                ended=change["outcome"] == "ended",
            )
            for change in changes
        ]
        return after, finished, lost

    async def newest_change(self) -> Cursor:
        """Return the cursor of the newest change, for whoever follows from now on."""
        found = await self._call("GET", "/v1/fleets")
        try:
            return Cursor(str(found["epoch"]), int(found["seq"]))
        except (LookupError, TypeError, ValueError) as error:
            raise FleetUnavailableError("the fleet's answer names no change") from error

    async def openings(self, cursor: Cursor, *, wait_s: float = 0.0) -> tuple[Cursor, list[str], bool]:
        """Return the next cursor, the regions of the openings since ``cursor``, and whether some are lost.

        A region opens where a match was turned away and may get a server now; it is named once for each
        server. Waits up to ``wait_s`` for one.
        """
        try:
            after, changes, lost = await self.changes(cursor, kind="opening", wait_s=wait_s)
            return after, [str(change["region"]) for change in changes], lost
        except (LookupError, TypeError, ValueError) as error:
            raise FleetUnavailableError("the fleet's answer names no openings") from error

    async def set_buffer(self, region: str, ready: int) -> dict[str, Any]:
        """Keep ``ready`` idle servers in a region until the policy is reset; return the decision."""
        return await self._call("PUT", f"/v1/fleets/{_quoted(region)}/buffer", json={"ready": ready})

    async def set_policy(self, region: str, policy: Mapping[str, Any]) -> dict[str, Any]:
        """Give a region a policy in Agones' JSON until it is reset; return its first decision.

        FleetRefusedError: the policy is malformed; the message says where.
        """
        return await self._call("PUT", f"/v1/fleets/{_quoted(region)}/policy", json=dict(policy))

    async def reset_policy(self, region: str) -> dict[str, Any]:
        """Remove what an operator has set; return the first decision of the configured policy."""
        return await self._call("DELETE", f"/v1/fleets/{_quoted(region)}/policy")

    async def act_on_fleet(self, region: str, action: str) -> dict[str, Any]:
        """Cordon, uncordon, drain or undrain a region (``action``); return its flags."""
        return await self._call("POST", f"/v1/fleets/{_quoted(region)}/{_quoted(action)}")

    async def act_on_server(self, name: str, action: str) -> dict[str, Any]:
        """Drain, kill, cordon or uncordon a server (``action``); return its summary."""
        return await self._call("POST", f"/v1/gameservers/{_quoted(name)}/{_quoted(action)}")


def mutual_tls(authority: str, certificate: str = "", key: str = "") -> ssl.SSLContext | None:
    """Return a TLS context that trusts an authority and shows a certificate; None where neither is given.

    Args:
        authority: a PEM file; "": the system's authorities.
        certificate, key: PEM files.

    Raises:
        OSError, ssl.SSLError: a file cannot be read, or is no PEM file.
    """
    if not authority and not certificate:
        return None
    context = ssl.create_default_context(cafile=authority or None)
    if certificate:
        context.load_cert_chain(certificate, key or None, password="")  # or OpenSSL asks at the terminal
    return context


def _quoted(text: str) -> str:
    return quote(text, safe="")


def _retry_after_s(response: Response) -> float:
    """Return the whole seconds of a Retry-After header; 0 where there are none."""
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isdigit() else 0.0


def _detail(response: Response) -> str:
    """Return the detail of a problem-details body, or the beginning of any other body."""
    try:
        return str(response.json()["detail"])
    except (LookupError, TypeError, ValueError):
        return response.text[:200]
