"""What every HTTP service of ours has: problem details, health, metrics, request ids, callers' identities, a
clean stop.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Annotated, Any

import structlog
import uvicorn
from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from launchday import identity, problems, startup
from launchday.clock import Clock, SystemClock
from launchday.identity.key_file import PUBLIC
from launchday.resilience.admission import classes as admission_classes
from launchday.resilience.admission.classes import AdmissionClasses
from launchday.resilience.admission.gate import Gate
from launchday.resilience.admission.metrics import GateCollector
from launchday.resilience.admission.protocol import guarded_by
from launchday.resilience.admission.refusals import LATE
from launchday.resilience.clocks.skew import watch_clock
from launchday.resilience.deadline import DeadlineExceededError
from launchday.resilience.descriptor_budget import DescriptorBudget
from launchday.resilience.health import Health, Part
from launchday.resilience.http_server import HttpServer
from launchday.resilience.loop_lag import watch_loop
from launchday.resilience.reloading import Reloading, ReloadRefusedError
from launchday.resilience.request_metrics import RequestMetrics
from launchday.settings import Settings

REQUEST_ID_BITS = 64
MAX_GIVEN_REQUEST_ID_BYTES = 64
KEEP_ALIVE_S = 75  # above common load balancers' 60 s; uvicorn's 5 s makes pooled clients reconnect
SHUTDOWN_S = 3  # open long polls and event streams are cut after this
NOT_STARTED = 3  # exit code of a service whose start has failed; the log has the reason

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]

log = structlog.get_logger()

_bearer = HTTPBearer(auto_error=False, description="A session token (players) or a service token.")


def create_app(
    title: str,
    settings: Settings,
    lifespan: Lifespan,
    *,
    clock: Clock | None = None,
    parts: Sequence[Part] = (),
    admission: AdmissionClasses = admission_classes.DEFAULT,
    keys: str = PUBLIC,
    **fastapi_options: Any,
) -> FastAPI:
    """Build a FastAPI application with what every service of ours has.

    ``GET /healthz`` answers 200 once the lifespan has started; ``GET /readyz`` lists the parts, see
    `launchday.resilience.health`; ``GET /metrics`` is Prometheus' text format.

    Args:
        title: of the API's document.
        settings: kept in ``app.state.settings``; their keys make ``app.state.signer``, which verifies
            tokens, and follows the key file when it changes.
        lifespan: opens what the service needs, and closes it.
        clock: kept in ``app.state.clock``; None: the machine's.
        parts: what the service needs; the lifespan adds more to ``app.state.health``. It also adds what can
            be read again to ``app.state.reloading``, which SIGHUP starts.
        admission: how many requests of which kinds may be under way at once, for `serve`. An application may
            set ``app.state.direct``, which answers requests before the framework, see `Gate.direct`.
        keys: whose file it reads where ``identity_keys`` is a folder; by default the one that only verifies.
        fastapi_options: further arguments of FastAPI.

    Raises:
        KeyFileError: the key file cannot be used.
        WeakSecretError: the settings have neither a key file nor a proper ``identity_secret``.
    """
    time = clock if clock is not None else SystemClock()

    @asynccontextmanager
    async def watched(app: FastAPI) -> AsyncIterator[None]:
        watching = [
            asyncio.create_task(watch_loop(time), name="event loop's lag"),
            asyncio.create_task(watch_clock(time), name="wall clock"),
            asyncio.create_task(app.state.reloading.run(), name="SIGHUP"),
            asyncio.create_task(key_watch.run(), name="keys"),
        ]
        try:
            async with lifespan(app):
                yield
        finally:
            for task in watching:
                task.cancel()

    app = _App(
        title=title,
        version="1",
        lifespan=watched,
        responses={
            code: {
                "description": "Problem details (RFC 9457)",
                "content": {problems.MEDIA_TYPE: {"schema": problems.ProblemDetails.model_json_schema()}},
            }
            for code in ("4XX", "5XX")
        },
        **fastapi_options,
    )
    app.state.settings = settings
    app.state.clock = time
    app.state.health = Health(parts, time)
    app.state.admission = admission
    app.state.reloading = Reloading()
    signer = app.state.signer = identity.signer_of(settings, keys)
    key_watch = identity.KeyWatch(signer, settings, keys, time)
    app.state.reloading.add("keys", key_watch.read)
    problems.install(app)
    app.add_exception_handler(DeadlineExceededError, _on_late)
    app.add_middleware(_BodyLimit, max_bytes=settings.max_request_bytes)
    app.add_middleware(_RequestId, clock=time)

    @app.get("/healthz", tags=["operations"])
    async def healthz() -> dict[str, str]:
        """Say that the service is up."""
        return {"status": "ok"}

    @app.get("/readyz", tags=["operations"])
    async def readyz() -> JSONResponse:
        """Say whether the service can be of use, and how each part is that it needs: 503 where it cannot."""
        found = await app.state.health.readiness()
        return JSONResponse(found.body(), status_code=found.http_status)

    @app.get("/metrics", tags=["operations"], response_class=PlainTextResponse)
    async def metrics() -> PlainTextResponse:
        """Give the metrics in Prometheus' text format."""
        return PlainTextResponse(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return app


async def _on_late(_: Request, error: Exception) -> Response:
    return LATE.response()


class _App(FastAPI):
    """Counts every request in the outermost layer: what a fast path or an error answers, too."""

    def build_middleware_stack(self) -> ASGIApp:
        return RequestMetrics(super().build_middleware_stack(), self.state.clock)


async def _caller(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> identity.Identity:
    challenge = {"WWW-Authenticate": "Bearer"}
    if credentials is None:
        raise problems.ProblemError(
            401, "no-token", "send a token: Authorization: Bearer …", headers=challenge
        )
    try:
        signer: identity.Signer = request.app.state.signer
        caller = signer.verify(credentials.credentials, signer.time(request.app.state.clock))
    except identity.InvalidTokenError as error:
        raise problems.ProblemError(401, "invalid-token", str(error), headers=challenge) from error
    return caller


def require(*roles: str) -> Callable[..., Awaitable[identity.Identity]]:
    """Make a FastAPI dependency that returns the caller's identity.

    It raises ProblemError (401) for a caller without a valid token, and (403) for one who has none of these
    roles.
    """

    async def check(caller: Annotated[identity.Identity, Depends(_caller)]) -> identity.Identity:
        if caller.roles.isdisjoint(roles):
            raise problems.ProblemError(
                403, "forbidden", f"this needs a token with the role {' or '.join(roles)}"
            )
        return caller

    return check


def identify(signer: identity.Signer, authorization: str, now: float, *roles: str) -> identity.Identity:
    """Return the caller that an Authorization header names.

    Args:
        signer: verifies the token.
        authorization: the header's value; empty where there is none.
        now: Unix seconds, of `identity.Signer.time`.
        roles: the caller must have one of them.

    Raises:
        ProblemError: 401 without a valid token, 403 without one of the roles.
    """
    challenge = {"WWW-Authenticate": "Bearer"}
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise problems.ProblemError(
            401, "no-token", "send a token: Authorization: Bearer …", headers=challenge
        )
    try:
        caller = signer.verify(token, now)
    except identity.InvalidTokenError as error:
        raise problems.ProblemError(401, "invalid-token", str(error), headers=challenge) from error
    if caller.roles.isdisjoint(roles):
        raise problems.ProblemError(
            403, "forbidden", f"this needs a token with the role {' or '.join(roles)}"
        )
    return caller


async def read_again(app: FastAPI, part: str) -> None:
    """Do what an operator's route for reloading does: read one part of this process again.

    Raises:
        ProblemError: 422 where it is wrong, with every mistake as a line of ``mistakes``; the old one stays.
    """
    try:
        await app.state.reloading.read(part)
    except ReloadRefusedError as refused:
        raise problems.ProblemError(
            422,
            "reload-refused",
            f"what was in force stays: {'; '.join(refused.mistakes)}",
            mistakes=refused.mistakes,
        ) from refused


PlayerCaller = Annotated[identity.Identity, Depends(require(identity.PLAYER))]
ServiceCaller = Annotated[identity.Identity, Depends(require(identity.SERVICE))]
OperatorCaller = Annotated[identity.Identity, Depends(require(identity.OPERATOR))]
ViewerCaller = Annotated[identity.Identity, Depends(require(identity.OPERATOR, identity.VIEWER))]


class _RequestId:
    """Gives every request an id: the caller's ``X-Request-Id`` or a new one. The answer and the log lines
    carry it.
    """

    def __init__(self, app: ASGIApp, clock: Clock) -> None:
        self._app = app
        self._random = clock.random("request-id")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
        if 0 < len(given) <= MAX_GIVEN_REQUEST_ID_BYTES and given.isascii():
            request_id = given
        else:
            request_id = b"%016x" % self._random.getrandbits(REQUEST_ID_BITS)

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message.setdefault("headers", []).append((b"x-request-id", request_id))
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id.decode()):
            await self._app(scope, receive, send_with_id)


class _BodyLimit:
    """Refuses a request body that is longer than ``max_bytes``, whether its header says so or not."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        announced = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if announced.isdigit() and int(announced) > self._max_bytes:
            await self._refusal().response()(scope, receive, send)
            return
        received, refused = 0, False

        async def receive_counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_bytes:
                raise self._refusal()
            return message

        async def send_or_refuse(message: Message) -> None:
            # The application may have answered something else to a body that was cut off: this answer
            # replaces it.
            nonlocal refused
            if received <= self._max_bytes:
                await send(message)
            elif not refused:
                refused = True
                await self._refusal().response()(scope, receive, send)

        await self._app(scope, receive_counted, send_or_refuse)

    def _refusal(self) -> problems.ProblemError:
        return problems.ProblemError(
            413, "request-too-large", f"a request has at most {self._max_bytes} bytes"
        )


def terminate_when_done(task: asyncio.Task[None]) -> None:
    """End this process with SIGTERM, because a task that the service lives for has ended.

    It is a done callback of such a task: remove it before the task may end in good order. A service that
    answers and does nothing is worse than none; whoever started it starts it again. A task that was cancelled
    ends the process too.
    """
    error = None if task.cancelled() else task.exception()
    log.critical("a task that this service lives for has ended", task=task.get_name(), exc_info=error)
    signal.raise_signal(signal.SIGTERM)


def gate_of(app: FastAPI) -> Gate:
    """Make the gate that an application made by ``create_app`` stands behind."""
    own: Settings = app.state.settings
    gate = Gate(
        app.state.admission,
        app.state.clock,
        trusted_proxies=own.trusted_proxies,
        budget=DescriptorBudget.of(startup.descriptors().soft),
        max_body_bytes=own.max_request_bytes,
    )
    gate.direct = getattr(app.state, "direct", None)
    return gate


def serve(app: FastAPI, host: str, port: int, *, client_ca: str = "") -> None:
    """Serve ``app`` until SIGTERM or SIGINT, over TLS where the settings name a certificate.

    Args:
        app: made by ``create_app``.
        host: address to listen on.
        port: TCP port.
        client_ca: path of a PEM file with authorities; only callers with a certificate of theirs are
            answered. Empty: all are.
    """
    own: Settings = app.state.settings
    gate = gate_of(app)
    REGISTRY.register(GateCollector(gate))
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        loop="uvloop",
        http=guarded_by(gate),
        ws="none",
        access_log=False,
        log_config=None,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=SHUTDOWN_S,
        proxy_headers=False,  # the gate reads them
        ssl_certfile=own.tls_certificate or None,
        ssl_keyfile=own.tls_key or None,
        ssl_keyfile_password="",  # without one OpenSSL asks at the terminal for that of a key
        ssl_ca_certs=client_ca or None,
        ssl_cert_reqs=ssl.CERT_REQUIRED if client_ca else ssl.CERT_NONE,
    )
    server = HttpServer(config, app.state.clock, own.drain_s, gate.budget)
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C, raised again after everything is closed
        server.run()
    if not server.started:
        sys.exit(NOT_STARTED)
