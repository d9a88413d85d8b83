"""``launchday player …``: see a player, give, take, kick, ban, as tables for people and as JSON for scripts.

Each act is a call of the meta service at the setting ``meta_url``, and a row of its audit with the
operator's name. The token is ``operator_token``, or one signed with the operators' key for whoever is logged
in here. Without either, the one is used that a fleet on this machine has left in ``state_dir`` for its own
user.
"""

from __future__ import annotations

import asyncio
import getpass
import json
import os
import re
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar
from uuid import uuid4

import msgspec
import typer
from rich.text import Text

from launchday import identity
from launchday.cli.fleet import local_credentials
from launchday.cli.inputs import USAGE_ERROR, read_settings
from launchday.settings import Settings
from launchday.terminal import Terminal, data, fail, table

if TYPE_CHECKING:
    from meta_service.client import Ban, MetaClient, OperatorAction, PlayerStatus
    from meta_service.messages.money import OperatorStatement

# The client of the meta service is imported when a command needs it: it costs a third of a second.

ERROR = 1
KEYS = "operators"  # whose key file is read
TOKEN_S = 3600.0
UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}

_DURATION = re.compile(r"([0-9]{1,6})([smhdw])")
_PLAYER_ID = re.compile(r"[1-9][0-9]{0,18}")

T = TypeVar("T")


def _id(text: str) -> int:
    if not _PLAYER_ID.fullmatch(text) or int(text) >= 2**63:
        raise typer.BadParameter(f"{text} is no player's id, which is a whole number")
    return int(text)


app = typer.Typer(
    name="player", help="See a player, give and take, kick, ban; for operators.", no_args_is_help=True
)
PlayerId = Annotated[int, typer.Argument(metavar="ID", help="The player's id.", parser=_id)]
Reason = Annotated[str, typer.Option("--reason", help="Why, in a line; the audit keeps it.")]
Key = Annotated[
    str,
    typer.Option(
        "--key",
        help="An idempotency key: under one key it happens once, however often it is repeated. "
        "Without it, one is made up.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def show(player: PlayerId, as_json: AsJson = False) -> None:
    """Show a player: account, session, match, party, bans, what they have."""
    found = _run(lambda meta: meta.player(player))
    if as_json:
        _print_json(found)
    else:
        _print_parts(_player_tables(found))


@app.command()
def grant(
    player: PlayerId,
    amount: Annotated[int, typer.Argument(min=1, help="In the currency's smallest unit.")],
    currency: Annotated[str, typer.Argument(help="Such as coins.")],
    reason: Reason,
    key: Key = "",
    as_json: AsJson = False,
) -> None:
    """Put money into a player's wallet."""
    moved = _run(lambda meta: meta.grant_money(player, _key(key), currency, amount, reason))
    _answer(moved, f"{player}: {moved.amount:+} {currency}, now {moved.balance}", as_json)


@app.command()
def debit(
    player: PlayerId,
    amount: Annotated[int, typer.Argument(min=1, help="In the currency's smallest unit.")],
    currency: Annotated[str, typer.Argument(help="Such as coins.")],
    reason: Reason,
    key: Key = "",
    as_json: AsJson = False,
) -> None:
    """Take money out of a player's wallet; refused where it holds less."""
    moved = _run(lambda meta: meta.debit_money(player, _key(key), currency, amount, reason))
    _answer(moved, f"{player}: {moved.amount:+} {currency}, now {moved.balance}", as_json)


@app.command()
def give(
    player: PlayerId,
    item: Annotated[str, typer.Argument(help="An item of the catalogue.")],
    reason: Reason,
    quantity: Annotated[int, typer.Option(min=1, help="Pieces.")] = 1,
    key: Key = "",
    as_json: AsJson = False,
) -> None:
    """Give a player pieces of an item."""
    moved = _run(lambda meta: meta.give_items(player, _key(key), item, reason, quantity))
    _answer(moved, f"{player}: {moved.quantity:+} {item}, now {moved.owned}", as_json)


@app.command()
def take(
    player: PlayerId,
    item: Annotated[str, typer.Argument(help="An item that the player owns.")],
    reason: Reason,
    quantity: Annotated[int, typer.Option(min=1, help="Pieces.")] = 1,
    key: Key = "",
    as_json: AsJson = False,
) -> None:
    """Take pieces of an item from a player; refused where there are fewer."""
    moved = _run(lambda meta: meta.take_items(player, _key(key), item, reason, quantity))
    _answer(moved, f"{player}: {moved.quantity:+} {item}, now {moved.owned}", as_json)


@app.command()
def ban(
    player: PlayerId,
    reason: Annotated[str, typer.Option("--reason", help="Why, in a line; the player reads it.")],
    for_time: Annotated[
        str, typer.Option("--for", metavar="TIME", help="How long: 90s, 30m, 12h, 7d or 2w.")
    ] = "",
    until: Annotated[
        str,
        typer.Option("--until", metavar="WHEN", help="Its end, such as 2026-12-24 or 2026-12-24T18:00, UTC."),
    ] = "",
    for_good: Annotated[bool, typer.Option("--for-good", help="It has no end.")] = False,
    as_json: AsJson = False,
) -> None:
    """Ban a player: they are out of queue, party and match within seconds, and cannot log in."""
    if sum((bool(for_time), bool(until), for_good)) != 1:
        fail("say how long: --for, --until or --for-good", USAGE_ERROR)
    ends_at = None if for_good else _end(for_time, until)
    made = _run(lambda meta: meta.ban(player, reason, ends_at))
    _answer(made, f"{player}: banned {_until(made.ends_at)}: {made.reason}", as_json)


@app.command()
def kick(player: PlayerId, reason: Reason, as_json: AsJson = False) -> None:
    """Put a player out of the match that they are in; they may queue for another."""
    done = _run(lambda meta: meta.kick(player, reason))
    _answer(done, f"{player}: kicked from match {done.match_id} on {done.server}", as_json)


@app.command()
def unban(player: PlayerId, reason: Reason, as_json: AsJson = False) -> None:
    """End a player's ban before its time."""
    lifted = _run(lambda meta: meta.lift_ban(player, reason))
    if as_json:
        print(json.dumps({"player_id": str(player), "lifted": lifted}))
    else:
        Terminal().print(f"{player}: {'the ban is lifted' if lifted else 'no ban held'}")


@app.command()
def statement(
    player: PlayerId,
    before: Annotated[
        int | None, typer.Option("--before", help="Only entries of the ledger older than this number.")
    ] = None,
    movements_before: Annotated[
        int | None, typer.Option("--movements-before", help="Only movements older than this number.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="At most so many of each.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Show how a player came by what they have: entries of the ledger, and movements of items."""
    found = _run(
        lambda meta: meta.player_statement(
            player, before=before, movements_before=movements_before, limit=limit
        )
    )
    if as_json:
        _print_json(found)
    else:
        _print_parts(_statement_tables(found))


@app.command()
def export(
    player: PlayerId,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write it to this file, for its owner alone to read."),
    ] = None,
) -> None:
    """Print everything that is held about a player as one JSON object."""
    found = _run(lambda meta: meta.export_player(player))
    shown = _with_text_ids(msgspec.to_builtins(found))
    if output is None:
        print(json.dumps(shown, indent=2, ensure_ascii=False))
        return
    try:
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(json.dumps(shown, indent=2, ensure_ascii=False) + "\n")
    except OSError as error:
        fail(f"cannot write {output}: {error.strerror}", USAGE_ERROR)
    Terminal().print(data(f"{player}: exported to {output}"))


@app.command()
def delete(
    player: PlayerId,
    reason: Reason,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete a player's account, for good: only the books of money and items stay, without the player."""
    try:
        if not yes and not typer.confirm(f"Delete player {player} for good?", err=True):
            raise typer.Exit(ERROR)
    except typer.Abort:
        Terminal(stderr=True).print()  # behind the question
        fail("nobody was deleted: nobody answered; --yes asks nobody", USAGE_ERROR)
    done = _run(lambda meta: meta.delete_player(player, reason))
    state = "deleted" if done.deleted else "had been deleted before"
    left = "" if done.finished else "; a worker goes on until everything is gone"
    _answer(done, f"{player}: {state}{left}", as_json)


@app.command()
def audit(
    player: Annotated[
        int | None, typer.Option("--player", metavar="ID", help="Only what touched this player.", parser=_id)
    ] = None,
    operator: Annotated[str, typer.Option("--operator", help="Only what this operator did.")] = "",
    before: Annotated[
        int | None, typer.Option("--before", help="Only acts older than this number: the next page.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="At most so many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List what operators did, the newest first."""
    acts = _run(
        lambda meta: meta.audit(player_id=player, operator=operator or None, before=before, limit=limit)
    )
    if as_json:
        for act in acts:
            _print_json(act)
    else:
        _print_parts(_audit_table(acts))


def _run(do: Callable[[MetaClient], Awaitable[T]]) -> T:
    from meta_service.client import MetaClient, MetaClientError

    config = read_settings()
    token = _token(config)

    async def within() -> T:
        async with MetaClient(config.meta_url, token) as meta:
            return await do(meta)

    try:
        return asyncio.run(within())
    except MetaClientError as error:
        fail(str(error))
    except ValueError as error:  # what is no message, such as an empty reason
        fail(str(error), USAGE_ERROR)
    except KeyboardInterrupt:
        raise typer.Exit(ERROR) from None


def _token(config: Settings) -> str:
    if given := config.operator_token.get_secret_value():
        return given
    if config.identity_keys or config.identity_secret.get_secret_value():
        try:
            signer = identity.signer_of(config, KEYS)
            return signer.service_token(_user(), time.time(), TOKEN_S, roles=(identity.OPERATOR,))
        except identity.IdentityError as error:
            fail(str(error), USAGE_ERROR)
    if (access := local_credentials(config)) is not None:
        return access["token"]
    return fail(
        f"no backend runs in {config.state_dir}: set LAUNCHDAY_META_URL and LAUNCHDAY_OPERATOR_TOKEN, "
        "or LAUNCHDAY_STATE_DIR",
        USAGE_ERROR,
    )


def _user() -> str:
    """The name under which the audit keeps what is done with a key that this machine holds."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "cli"


def _key(given: str) -> str:
    return given or f"cli-{uuid4()}"


def _end(for_time: str, until: str) -> float:
    """When a ban ends (Unix seconds)."""
    if for_time:
        found = _DURATION.fullmatch(for_time)
        if found is None:
            fail(f"--for is a number with s, m, h, d or w, such as 7d, not {for_time}", USAGE_ERROR)
        return time.time() + int(found[1]) * UNITS_S[found[2]]
    try:
        at = datetime.fromisoformat(until)
    except ValueError:
        fail(f"--until is a date or a time, such as 2026-12-24T18:00, not {until}", USAGE_ERROR)
    ends_at = (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp()
    if ends_at <= time.time():
        fail(f"--until {until} is over", USAGE_ERROR)
    return ends_at


def _print_json(message: Any) -> None:
    print(json.dumps(_with_text_ids(msgspec.to_builtins(message))))


def _with_text_ids(value: Any) -> Any:
    """The same with players' ids as text, as the API has them: JavaScript rounds such numbers."""
    if isinstance(value, dict):
        return {
            name: str(inner) if name == "player_id" and inner is not None else _with_text_ids(inner)
            for name, inner in value.items()
        }
    return [_with_text_ids(inner) for inner in value] if isinstance(value, list) else value


def _answer(message: Any, sentence: str, as_json: bool) -> None:
    if as_json:
        _print_json(message)
    else:
        Terminal().print(data(sentence))


def _print_parts(parts: list[Any]) -> None:
    console = Terminal()
    for part in parts:
        console.print(part)


def _until(ends_at: float | None) -> str:
    return "for good" if ends_at is None else f"until {_time(ends_at)}"


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _player_tables(player: PlayerStatus) -> list[Any]:
    facts = table("fact", "value", header=False, boxed=False)
    lease = player.lease
    session = player.session
    in_match = f"{lease.match_id} on {lease.server}" if lease.state == "held" else ""
    for name, value in (
        ("player", str(player.player_id)),
        ("name", player.display_name),
        ("level", f"{player.level}, {player.xp} XP"),
        ("skin", player.skin + (" (on its way to the store)" if player.pending else "")),
        (
            "session",
            session.state and f"{session.state}, since {_time(session.opened_at)} {session.region}".strip(),
        ),
        ("match", in_match),
        ("party", player.party_id or ""),
        (
            "ratings",
            ", ".join(f"{mode} {each.mu:.1f} ± {each.sigma:.1f}" for mode, each in player.ratings.items()),
        ),
        ("balances", ", ".join(f"{amount} {currency}" for currency, amount in player.balances.items())),
        ("items", ", ".join(f"{item} × {count}" for item, count in player.items.items())),
        ("season pass", _pass(player)),
    ):
        facts.add_row(Text(name, "bold"), data(value))
    return [facts, *([_bans_table(player.bans)] if player.bans else [])]


def _pass(player: PlayerStatus) -> str:
    """How far the player has come in the season's pass."""
    season = player.progress and player.progress.season
    if not season:
        return ""
    given = sum(tier.given for tier in season.tiers)
    return f"{season.name}: {season.xp} points, {given} of {len(season.tiers)} tiers given"


def _bans_table(bans: list[Ban]) -> Any:
    shown = table("ban", "made", "by", "until", "state", "reason", boxed=False)
    for one in bans:
        state = Text("holds", "red") if one.holds else data("over")
        if one.lifted_at is not None:
            state = data(f"lifted {_time(one.lifted_at)} by {one.lifted_by}: {one.lift_reason}")
        ends = "for good" if one.ends_at is None else _time(one.ends_at)
        shown.add_row(
            str(one.ban_no), _time(one.banned_at), data(one.banned_by), ends, state, data(one.reason)
        )
    return shown


def _statement_tables(found: OperatorStatement) -> list[Any]:
    money = table("entry", "when", "money", "for", "reason", "by", boxed=False)
    for entry in found.entries:
        bought = f"{entry.quantity} × {entry.item_id}" if entry.item_id else ""
        change = f"{entry.amount:+} {entry.currency}"
        money.add_row(
            str(entry.entry_no), _time(entry.booked_at), change, bought, data(entry.reason), data(entry.actor)
        )
    items = table("movement", "when", "item", "reason", "by", boxed=False)
    for moved in found.movements:
        change = f"{moved.quantity:+} {moved.item_id}"
        items.add_row(
            str(moved.entry_no), _time(moved.booked_at), change, data(moved.reason), data(moved.actor)
        )
    return [money, "", items]


def _audit_table(acts: list[OperatorAction]) -> list[Any]:
    shown = table("no", "when", "operator", "action", "player", "reason", "detail", boxed=False)
    for act in acts:
        shown.add_row(
            str(act.action_no),
            _time(act.done_at),
            data(act.operator),
            data(act.action),
            str(act.player_id or ""),
            data(act.reason),
            data(json.dumps(act.detail)),
        )
    return [shown]
