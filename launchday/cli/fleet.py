"""``launchday fleet …``: see and steer a running fleet, as tables for people and as JSON for scripts.

The fleet's address is the setting ``fleet_url``; the token is ``fleet_token``, or one signed with the
operators' key of ``identity_keys``, or with ``identity_secret``. Without any, both come from a file that a
fleet on this machine has left in ``state_dir`` for its own user.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from rich.live import Live
from rich.text import Text

from launchday import identity
from launchday.cli.inputs import USAGE_ERROR, read_settings
from launchday.settings import Settings
from launchday.terminal import Terminal, data, fail, table

if TYPE_CHECKING:
    from dedicated_server.fleet.client import FleetAdminClient

CREDENTIAL_FILES = ("fleet/access.json", "run/fleet/access.json")
TOKEN_S = 3600.0
KEYS = "operators"  # whose key file is read
WATCH_S = 20.0
STATE_STYLES = {"Ready": "green", "Allocated": "cyan", "Unhealthy": "red", "Error": "red", "Shutdown": "dim"}

app = typer.Typer(name="fleet", help="See and steer a running fleet.", no_args_is_help=True)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
T = TypeVar("T")


@app.command(name="list")
def list_(
    servers: Annotated[
        bool, typer.Option("--servers", help="List the game servers, not the fleets.")
    ] = False,
    region: Annotated[str, typer.Option(help="Only servers of this region.")] = "",
    state: Annotated[str, typer.Option(help="Only servers in this state.")] = "",
    gone: Annotated[bool, typer.Option("--gone", help="Also servers that have ended.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the fleets, one a region; with --servers, their game servers."""
    if not (servers or region or state or gone):
        _show(_run(lambda fleet: fleet.fleets()), _fleets_table, as_json)
        return
    filters = {"region": region, "state": state, "live": "" if gone else "true"}
    found = _run(lambda fleet: fleet.gameservers(**{name: value for name, value in filters.items() if value}))
    _show(found, _servers_table, as_json)


@app.command()
def get(name: Annotated[str, typer.Argument(help="A game server.")], as_json: AsJson = False) -> None:
    """Show one game server: states, match, tick times, log."""
    _show(_run(lambda fleet: fleet.gameserver(name)), _server_tables, as_json)


@app.command()
def watch(
    seconds: Annotated[float, typer.Option(min=0, help="Stop after this many seconds; 0: at Ctrl-C.")] = 0.0,
    as_json: AsJson = False,
) -> None:
    """Follow the fleets; with --json, print each change as it comes, one object a line."""
    _run(lambda fleet: _watch_changes(fleet, seconds) if as_json else _watch_table(fleet, seconds))


@app.command()
def scale(
    region: Annotated[str, typer.Argument(help="A region.")],
    ready: Annotated[
        int | None, typer.Argument(min=0, max=4096, help="Idle servers to keep.", show_default=False)
    ] = None,
    reset: Annotated[
        bool, typer.Option("--reset", help="Go back to the policy that the fleet is configured with.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Keep this many idle servers in a region instead of what its policy says, also after a restart."""
    if (ready is None) != reset:
        fail("say how many idle servers to keep, or --reset", USAGE_ERROR)
    decision = _run(
        lambda fleet: fleet.reset_policy(region) if ready is None else fleet.set_buffer(region, ready)
    )
    _print_answer(
        decision,
        f"{region}: {decision['idle_before']} → {decision['idle']} idle ({decision['reason']})",
        as_json,
    )


@app.command()
def drain(
    name: Annotated[str, typer.Argument(help="A game server, or a region.")],
    undo: Annotated[bool, typer.Option("--undo", help="Use the region again.")] = False,
    as_json: AsJson = False,
) -> None:
    """Let a server end after its match. A region: keep no idle server and start no match there."""
    _act(name, "undrain" if undo else "drain", as_json)


@app.command()
def cordon(
    name: Annotated[str, typer.Argument(help="A game server, or a region.")],
    undo: Annotated[bool, typer.Option("--undo", help="Give it matches again.")] = False,
    as_json: AsJson = False,
) -> None:
    """Give no match to a server, or to any server of a region."""
    _act(name, "uncordon" if undo else "cordon", as_json)


@app.command()
def kill(name: Annotated[str, typer.Argument(help="A game server.")], as_json: AsJson = False) -> None:
    """End a server at once together with its match; its players queue again."""
    server = _run(lambda fleet: fleet.act_on_server(name, "kill"))
    _print_answer(server, f"{name}: killed, now {server['state']}", as_json)


@app.command()
def token(
    role: Annotated[str, typer.Option(help="viewer, or operator.")] = identity.VIEWER,
    hours: Annotated[float, typer.Option(min=0.01, max=24 * 366, help="Hours for which it is valid.")] = 12.0,
    name: Annotated[str, typer.Option(help="Whom it is for; the fleet's log shows it.")] = "operator",
) -> None:
    """Print a token for the fleet's web page and API. Needs the operators' key: LAUNCHDAY_IDENTITY_KEYS."""
    if role not in (identity.VIEWER, identity.OPERATOR):
        fail(f"--role is {identity.VIEWER} or {identity.OPERATOR}, not {role}", USAGE_ERROR)
    try:
        signer = identity.signer_of(read_settings(), KEYS)
        signed = signer.service_token(name, time.time(), hours * 3600.0, roles=(role,))
    except identity.IdentityError as error:
        if (access := local_credentials(read_settings())) is not None and role == identity.OPERATOR:
            Terminal().print(access["token"])
            return
        fail(str(error), USAGE_ERROR)
    Terminal().print(signed)


def _act(name: str, action: str, as_json: bool) -> None:
    async def act(fleet: FleetAdminClient) -> dict[str, Any]:
        if any(one["name"] == name for one in await fleet.fleets()):
            return await fleet.act_on_fleet(name, action)
        return await fleet.act_on_server(name, action)

    answer = _run(act)
    _print_answer(answer, f"{name}: {action}ed" if action.endswith("n") else f"{name}: {action}", as_json)


async def _watch_changes(fleet: FleetAdminClient, seconds: float) -> None:
    from dedicated_server.fleet.client import Cursor

    until = time.monotonic() + seconds if seconds else float("inf")
    cursor, _, _ = await fleet.changes(Cursor(seq=2**62))
    while (left := until - time.monotonic()) > 0:
        cursor, changes, _ = await fleet.changes(cursor, wait_s=min(WATCH_S, left))
        for change in changes:
            print(json.dumps(change), flush=True)


async def _watch_table(fleet: FleetAdminClient, seconds: float) -> None:
    until = time.monotonic() + seconds if seconds else float("inf")
    with Live(_fleets_table(await fleet.fleets())[0], console=Terminal(), refresh_per_second=4) as live:
        while time.monotonic() < until:
            await asyncio.sleep(0.5)
            live.update(_fleets_table(await fleet.fleets())[0])


def _run(do: Callable[[FleetAdminClient], Awaitable[T]]) -> T:
    from dedicated_server.fleet.client import FleetAdminClient, FleetError, mutual_tls

    config = read_settings()
    url, bearer = _address_and_token(config)

    async def within() -> T:
        tls = mutual_tls(config.fleet_ca, config.fleet_certificate, config.fleet_certificate_key)
        async with FleetAdminClient(url, bearer, tls=tls) as fleet:
            return await do(fleet)

    try:
        return asyncio.run(within())
    except (FleetError, OSError) as error:
        fail(str(error))
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


def _address_and_token(config: Settings) -> tuple[str, str]:
    """Return the fleet's address and a token for it."""
    if given := config.fleet_token.get_secret_value():
        return config.fleet_url, given
    if config.identity_keys or config.identity_secret.get_secret_value():
        try:
            signer = identity.signer_of(config, KEYS)
            signed = signer.service_token("cli", time.time(), TOKEN_S, roles=(identity.OPERATOR,))
        except identity.IdentityError as error:
            fail(str(error), USAGE_ERROR)
        return config.fleet_url, signed
    if (access := local_credentials(config)) is not None:
        return access["url"], access["token"]
    return fail(
        (
            f"no fleet runs in {config.state_dir}: set LAUNCHDAY_FLEET_URL and LAUNCHDAY_FLEET_TOKEN, "
            "or LAUNCHDAY_STATE_DIR"
        ),
        USAGE_ERROR,
    )


def local_credentials(config: Settings) -> dict[str, str] | None:
    """Return the address of a fleet of this machine, and the operator's token that it has left; None: none
    has.
    """
    for name in CREDENTIAL_FILES:
        try:
            found = json.loads(Path(config.state_dir, name).read_text())
            return {"url": str(found["url"]), "token": str(found["token"])}
        except (OSError, ValueError, LookupError, TypeError):
            continue
    return None


def _show(found: Any, tables: Callable[[Any], list[Any]], as_json: bool) -> None:
    if as_json:
        print(json.dumps(found))
        return
    console = Terminal()
    for part in tables(found):
        console.print(part)


def _print_answer(answer: Any, sentence: str, as_json: bool) -> None:
    if as_json:
        print(json.dumps(answer))
    else:
        Terminal().print(sentence)


def _fleets_table(fleets: list[dict[str, Any]]) -> list[Any]:
    numbers = ("ready", "wanted", "in matches", "starting", "in all", "at most")
    shown = table("fleet", *numbers, "policy", "state", right=numbers, boxed=False)
    for one in fleets:
        counts = one["counts"]
        starting = sum(
            counts.get(state, 0)
            for state in ("PortAllocation", "Creating", "Starting", "Scheduled", "RequestReady")
        )
        flags = [name for name in ("cordoned", "draining") if one[name]]
        ready = counts.get("Ready", 0)
        style = "green" if ready >= one["idle_wanted"] else "yellow"
        shown.add_row(
            one["name"],
            Text(f"{ready}", style),
            str(one["idle_wanted"]),
            Text(f"{counts.get('Allocated', 0)}", "cyan"),
            str(starting),
            str(one["replicas"]),
            str(one["max_servers"]),
            one["policy"] + (f", set by {one['set_by']['by']}" if one["set_by"] else ""),
            Text(", ".join(flags), "yellow") if flags else "open",
        )
    return [shown]


def _servers_table(servers: list[dict[str, Any]]) -> list[Any]:
    numbers = ("port", "for s", "players", "tick ms")
    shown = table("server", "state", *numbers, "match", right=numbers, boxed=False)
    now = time.time()
    for one in servers:
        report = one["report"]
        tick_us = report.get("tick_us") or {}
        style = STATE_STYLES.get(one["state"], "yellow")
        shown.add_row(
            one["name"],
            data(one["state"], style) + (" (cordoned)" if one["cordoned"] else ""),
            str(one["port"]),
            f"{now - one['state_since']:.0f}",
            str(report.get("players_connected", "")),
            f"{tick_us['p50'] / 1000:.2f}" if "p50" in tick_us else "",
            one["match_id"] or "",
        )
    return [shown]


def _server_tables(server: dict[str, Any]) -> list[Any]:
    facts = table("fact", "value", header=False, boxed=False)
    for name in (
        "name",
        "region",
        "state",
        "address",
        "port",
        "node",
        "pid",
        "match_id",
        "start_ms",
        "memory_mb",
    ):
        facts.add_row(
            Text(name.replace("_", " "), "bold"), str(server[name] if server[name] is not None else "")
        )
    facts.add_row(Text("last heartbeat", "bold"), f"{time.time() - server['last_health_at']:.1f} s ago")
    for name in (
        "phase",
        "players_connected",
        "players_alive",
        "kills",
        "tick_us",
        "kbit_per_client",
        "error",
    ):
        if name in server["report"]:
            facts.add_row(Text(name.replace("_", " "), "bold"), str(server["report"][name]))
    history = table("state", "for s", "why", right=("for s",), boxed=False)
    ends = [*(entry["at"] for entry in server["history"][1:]), time.time()]
    for entry, end in zip(server["history"], ends, strict=True):
        history.add_row(entry["state"], f"{end - entry['at']:.3f}", entry.get("reason", ""))
    return [facts, "", history, "", *server["log_tail"][-10:]]
