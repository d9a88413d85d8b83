"""How others reach a fleet: the allocator call for directors, and the admin reads for operators and load tests.

Errors::

    FleetError
    ├── NoServerReady      none idle right now: wait and ask again
    ├── FleetUnavailable   no usable answer: repeat with the same idempotency key
    └── FleetRefused       the request itself is wrong: repeating it is no use
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx

FLEET_LABEL = "agones.dev/fleet"
MATCH_ANNOTATION = "launchday.dev/match"
IDEMPOTENCY_HEADER = "Idempotency-Key"

ALLOCATE_TIMEOUT_S = 5.0  # the fleet answers in milliseconds; Agones' allocator batches for 500 ms
ADMIN_TIMEOUT_S = 10.0  # a list of all servers with their reports is large


class FleetError(Exception):
    """Base of what a fleet client raises."""


class NoServerReady(FleetError):
    """Raised when the region has no Ready server (HTTP 429). The caller keeps its match and asks again later."""


class FleetUnavailable(FleetError):
    """Raised when no usable answer came: no connection, a time-out, contention (409) or a fault of the fleet (5xx).

    Whether a server was allocated is unknown; the caller repeats the call with the same idempotency key.
    """


class FleetRefused(FleetError):
    """Raised when the fleet refused the request (another 4xx): a bad token, an unknown name. Repeating it is no use."""


@dataclass(frozen=True, slots=True)
class Allocation:
    """A game server that now belongs to one match.

    Attributes:
        name: the game server's name in the fleet.
        address: host that players send datagrams to.
        port: UDP port.
    """

    name: str
    address: str
    port: int


class _FleetHttp:
    """One pooled HTTP connection to a fleet, with its errors translated."""

    def __init__(self, base_url: str, token: str | None, timeout_s: float) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._http = httpx.AsyncClient(
            base_url=base_url,
            headers=headers,
            timeout=timeout_s,
            trust_env=False,  # a proxy of the environment has no business between a director and its fleet
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _call(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        try:
            response = await self._http.request(method, path, **request)
        except httpx.HTTPError as error:
            raise FleetUnavailable(
                f"no answer from the fleet at {self._http.base_url}: {error or type(error).__name__}"
            ) from error
        if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
            raise NoServerReady(_detail(response))
        if response.status_code == httpx.codes.CONFLICT or response.is_server_error:
            raise FleetUnavailable(f"HTTP {response.status_code}: {_detail(response)}")
        if not response.is_success:
            raise FleetRefused(f"HTTP {response.status_code}: {_detail(response)}")
        try:
            body = response.json()
        except ValueError as error:
            raise FleetUnavailable("the fleet's answer is not JSON") from error
        if not isinstance(body, dict):
            raise FleetUnavailable("the fleet's answer is not a JSON object")
        return body


class AllocatorClient(_FleetHttp):
    """Allocates Ready servers: ours, or Agones' where ``base_url`` is that of an agones-allocator.

    Args:
        base_url: for example ``http://127.0.0.1:8103``.
        token: a service token; our fleet asks for one, Agones uses client certificates instead.
        timeout_s: time for one call.
    """

    def __init__(
        self, base_url: str, token: str | None = None, *, timeout_s: float = ALLOCATE_TIMEOUT_S
    ) -> None:
        super().__init__(base_url, token, timeout_s)

    async def allocate(
        self, *, region: str, match: Mapping[str, Any], idempotency_key: str, namespace: str = "default"
    ) -> Allocation:
        """Take one Ready server of ``region`` for ``match``, which the server reads from its own annotation.

        The same ``idempotency_key`` always gives the same server, so a call whose answer was lost may be repeated.
        Raises NoServerReady, FleetUnavailable, FleetRefused.
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
            return Allocation(
                str(answer["gameServerName"]), str(answer["address"]), int(answer["ports"][0]["port"])
            )
        except (LookupError, TypeError, ValueError) as error:
            raise FleetUnavailable("the fleet's answer names no server") from error


class FleetAdminClient(_FleetHttp):
    """Reads what a fleet is doing; needs a service, operator or viewer token."""

    def __init__(
        self, base_url: str, token: str | None = None, *, timeout_s: float = ADMIN_TIMEOUT_S
    ) -> None:
        super().__init__(base_url, token, timeout_s)

    async def fleet(self) -> dict[str, Any]:
        """Counts by state: ``{"regions": {region: {state: n}}, "total": {state: n}}``."""
        return await self._call("GET", "/v1/fleet")

    async def gameservers(self) -> list[dict[str, Any]]:
        """Every game server, ended ones that are still remembered included, without history and log."""
        servers: list[dict[str, Any]] = (await self._call("GET", "/v1/gameservers"))["gameservers"]
        return servers

    async def gameserver(self, name: str) -> dict[str, Any]:
        """One game server with its state history, last report and the tail of its log. FleetRefused if unknown."""
        return await self._call("GET", f"/v1/gameservers/{name}")

    async def books(self) -> dict[str, Any]:
        """Counts since the fleet started, and the last report of every server that ran a match."""
        return await self._call("GET", "/v1/books")


def _detail(response: httpx.Response) -> str:
    """The sentence in a problem-details body, or the beginning of whatever came."""
    try:
        return str(response.json()["detail"])
    except (LookupError, TypeError, ValueError):
        return response.text[:200]
