"""The ledger: counts of services that do not ask each other, side by side. Any difference fails the run.

- What was queued must have been matched, cancelled or expired.
- A match that was started must have ended. One that the director gave up before its players had come, and
  that the fleet took back, counts as not started.
- A player who was checked out must have been committed, unless the match was given up before that was known.
- The server that saw a kill, the topic that carried it and the service that rewarded it must count the same.
- So must the clients of the players who saw all of their matches to the end: for their kills and deaths, over
  all of their lives.
- A party that queued together must be in one match.
- No client may have heard a word of a game server's, a refusal or a farewell, that none has said.
- Nobody who reads events may find that a log no longer has some, or find another log in its place without
  knowing how the old one ended.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any

from dedicated_server.protocol.reasons import REASONS
from dedicated_server.protocol.reasons import UNSEALED as UNDER_NO_KEY
from loadtest.flood.watching.counters import BackendCounters, ServiceCounters
from loadtest.players.player_records import PlayerRecords
from rewards.events.logs.gaps import Gap

# Said under no key, to who may be no client of the server. Fleets of before do not count them.
UNSEALED = {reason.name for reason in REASONS if reason.said == (UNDER_NO_KEY,)}


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """One count.

    Attributes:
        label: what is counted, and by whom.
        detail: the terms, where the count is a sum.
    """

    label: str
    count: int
    detail: str = ""


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """Counts that must be equal.

    Attributes:
        name: what is counted.
        entries: the same thing as different parts of the backend counted it.
    """

    name: str
    entries: tuple[LedgerEntry, ...]

    @property
    def balanced(self) -> bool:
        """Whether all entries are equal."""
        return len({entry.count for entry in self.entries}) == 1

    @property
    def difference(self) -> int:
        """The largest entry minus the smallest."""
        counts = [entry.count for entry in self.entries]
        return max(counts) - min(counts)


@dataclass(frozen=True, slots=True)
class Ledger:
    """The lines of a run."""

    lines: tuple[LedgerLine, ...]

    @property
    def balanced(self) -> bool:
        """Whether every line is balanced."""
        return all(line.balanced for line in self.lines)

    def as_json(self) -> dict[str, Any]:
        """The ledger, as the run's JSON shows it."""
        return {
            "balanced": self.balanced,
            "lines": [
                {
                    "name": line.name,
                    "balanced": line.balanced,
                    "difference": line.difference,
                    "entries": {entry.label: entry.count for entry in line.entries},
                }
                for line in self.lines
            ],
        }


@dataclass(frozen=True, slots=True)
class MatchCounts:
    """What became of the matches of a run.

    Attributes:
        formed: their players were told where to go, by the matchmaker's count.
        started: servers allocated for them, by the fleet's count; so are the next three.
        ended: with a result.
        failed: without one.
        taken_back: given up by the director before their players had come.
        servers_used: game servers that were given a match, by the fleet's changes.
        given_up: why the director gave matches up, and how many for each reason.
        failures: why matches failed, and how many for each reason.
    """

    formed: int = 0
    started: int = 0
    ended: int = 0
    failed: int = 0
    taken_back: int = 0
    servers_used: int = 0
    given_up: Mapping[str, int] = field(default_factory=dict)
    failures: Mapping[str, int] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The counts, as the run's JSON shows them."""
        return asdict(self)


def count_matches(
    counters: BackendCounters, *, servers_used: int, failures: Mapping[str, int]
) -> MatchCounts:
    """What became of the matches, by the counters of a run and what the fleet's changes said."""
    queue, fleet = counters.matchmaker, counters.fleet
    return MatchCounts(
        formed=int(queue["matches"]),
        started=int(fleet["matches_started"]),
        ended=int(fleet["matches_ended"]),
        failed=_lost(fleet),
        taken_back=_taken_back(fleet),
        servers_used=servers_used,
        given_up=dict(queue.get("given_up") or {}),
        failures=dict(failures),
    )


@dataclass(frozen=True, slots=True)
class ExpectedLosses:
    """What may be missing because the run itself killed game servers.

    Attributes:
        servers: game servers killed: as many matches may fail.
        kills_reported: kills in the last reports of the failed matches; a report is up to a second old.
        kill_events: Kill events of those matches in Kafka.
    """

    servers: int = 0
    kills_reported: int = 0
    kill_events: int = 0


@dataclass(frozen=True, slots=True)
class Witnessed:
    """The fights of the players who saw all of their matches to the end.

    Attributes:
        players: how many they are.
        kills, deaths: that their own clients were told of.
        kill_events, death_events: of the same players, in Kafka.
    """

    players: int = 0
    kills: int = 0
    deaths: int = 0
    kill_events: int = 0
    death_events: int = 0


def witnessed(
    records: PlayerRecords, kills_by_player: Mapping[int, int], deaths_by_player: Mapping[int, int]
) -> Witnessed:
    """What the players saw who stayed to the end, beside the events of the same players.

    Args:
        records: of all players.
        kills_by_player, deaths_by_player: player id → events in Kafka.
    """
    players = records.witnesses()
    ids = records.player_id[players].tolist()
    return Witnessed(
        players=len(players),
        kills=int(records.kills_seen[players].sum()),
        deaths=int(records.deaths_seen[players].sum()),
        kill_events=sum(kills_by_player.get(each, 0) for each in ids),
        death_events=sum(deaths_by_player.get(each, 0) for each in ids),
    )


def balance(
    counters: BackendCounters,
    *,
    tickets_opened: int,
    kill_events: int,
    killed: ExpectedLosses = ExpectedLosses(),
    parties: tuple[int, int] = (0, 0),
    gaps: Sequence[Gap] = (),
    seen: Witnessed = Witnessed(),
    told: Mapping[str, int] = MappingProxyType({}),
) -> Ledger:
    """Compare the counters of a run with each other.

    Args:
        counters: what every service counted during the run.
        tickets_opened: tickets that the bots were given.
        kill_events: Kill events that the load test's own consumer saw in Kafka.
        killed: what the run killed on purpose. Nobody knows what a server counted after its last report, so
            the kills of its match are left out of the comparison with the servers, and stay in that of Kafka
            with rewards.
        parties: parties that were matched, and how many of them are in one match.
        gaps: what the load test's own consumer found in the logs.
        seen: what the players saw who stayed to the end.
        told: sessions of the bots that a game server refused or ended, by the reason that it gave.
    """
    queue, fleet, meta, rewards = counters.matchmaker, counters.fleet, counters.meta, counters.rewards
    ends = {name: int(queue[name]) for name in ("matched", "cancelled", "expired", "failed")}
    requeued, reclaimed, abandoned = (
        int(queue.get(name, 0)) for name in ("requeued", "reclaimed", "abandoned")
    )
    if requeued > reclaimed:  # tickets made for the players of a lost match, who had already left the game
        ends["unclaimed"] = requeued - reclaimed - abandoned
    return Ledger(
        (
            LedgerLine(
                "players",
                (
                    _held(tickets_opened, requeued - reclaimed),
                    LedgerEntry("queued", int(queue["queued"])),
                    LedgerEntry(" + ".join(ends), sum(ends.values()), " + ".join(map(str, ends.values()))),
                ),
            ),
            LedgerLine(
                "matches",
                (
                    LedgerEntry("formed", int(queue["matches"])),
                    _started(fleet),
                    *_ended(fleet, killed),
                ),
            ),
            LedgerLine(
                "check-outs",
                (_checked_out(meta, killed), *_returned(meta, killed)),
            ),
            LedgerLine(
                "kills",
                (
                    LedgerEntry("counted by game servers", int(fleet["kills"])),
                    LedgerEntry("kill events in Kafka", kill_events),
                    LedgerEntry("applied by rewards", int(rewards["kills_applied"])),
                )
                if not killed.servers
                else (
                    LedgerEntry("kill events in Kafka", kill_events),
                    LedgerEntry("applied by rewards", int(rewards["kills_applied"])),
                ),
            ),
            *_kills_of_survivors(fleet, kill_events, killed),
            *_witnessed(seen),
            *_parties(*parties),
            *told_lines(fleet, told, killed),
            *_missing_events(rewards, gaps),
        )
    )


def _held(tickets_opened: int, unclaimed: int) -> LedgerEntry:
    if not unclaimed:
        return LedgerEntry("tickets of the bots", tickets_opened)
    label = "tickets of the bots + tickets of lost matches that nobody came back for"
    return LedgerEntry(label, tickets_opened + unclaimed, f"{tickets_opened} + {unclaimed}")


def _witnessed(seen: Witnessed) -> tuple[LedgerLine, ...]:
    """Who died for good and left, was away, or came back missed some; the others must have seen all."""
    if not seen.players:
        return ()
    return tuple(
        LedgerLine(
            f"{what} of who saw all",
            (
                LedgerEntry(f"seen by {seen.players:,} clients", clients),
                LedgerEntry("events in Kafka", events),
            ),
        )
        for what, clients, events in (
            ("kills", seen.kills, seen.kill_events),
            ("deaths", seen.deaths, seen.death_events),
        )
    )


def _parties(placed: int, whole: int) -> tuple[LedgerLine, ...]:
    if not placed:
        return ()
    return (
        LedgerLine("parties", (LedgerEntry("matched", placed), LedgerEntry("complete in one match", whole))),
    )


def told_lines(
    fleet: ServiceCounters, heard: Mapping[str, int], killed: ExpectedLosses = ExpectedLosses()
) -> tuple[LedgerLine, ...]:
    """What game servers said beside what clients heard, a line a reason.

    A word may be lost, and one who has left hears nothing; an unsealed one answers each datagram. But what is
    heard was said, and what was answered was heard, or its client had left at that moment. Nobody knows what
    a server said after its last report, so with servers that were killed there is nothing to compare.
    """
    if killed.servers:
        return ()
    lines = []
    refusals, farewells, answered, unsealed = (
        fleet.get(f"told_{kind}") or {} for kind in ("refusals", "farewells", "answered", "unsealed")
    )
    uncounted = UNSEALED if fleet.get("told_unsealed") is None else set()
    for reason in sorted({*refusals, *farewells, *unsealed, *(set(heard) - uncounted)}):
        said = sum(int(words.get(reason, 0)) for words in (refusals, farewells, unsealed))
        unheard = max(said - heard.get(reason, 0), 0)
        detail = f"{heard.get(reason, 0)} + {unheard}; {answered.get(reason, 0)} farewells were answered"
        lines.append(
            LedgerLine(
                f"told {reason}",
                (
                    LedgerEntry("said by game servers", said),
                    LedgerEntry("heard by clients + not heard", heard.get(reason, 0) + unheard, detail),
                ),
            )
        )
    return tuple(lines)


def _missing_events(rewards: ServiceCounters, gaps: Sequence[Gap]) -> tuple[LedgerLine, ...]:
    """Events that a log no longer had; a gap of which nobody knows how large it is counts as one."""
    lines = []
    for reader, (found, missing, unknown) in {
        "rewards": _gaps_of(rewards, ""),
        "analytics": _gaps_of(rewards, "analytics_"),
        "this count of kills": (
            len(gaps),
            sum(gap.missing or 0 for gap in gaps),
            sum(gap.missing is None for gap in gaps),
        ),
    }.items():
        if found:
            detail = f"{found} gaps, of which {unknown} have an unknown size"
            entry = LedgerEntry("missing in the log, at least", missing + unknown, detail)
            lines.append(LedgerLine(f"events missed by {reader}", (LedgerEntry("allowed", 0), entry)))
    return tuple(lines)


def _gaps_of(rewards: ServiceCounters, whose: str) -> tuple[int, int, int]:
    found, missing, unknown = (
        int(rewards.get(f"{whose}{name}") or 0) for name in ("gaps", "missing_records", "unknown_gaps")
    )
    return found, missing, unknown


def _taken_back(fleet: ServiceCounters) -> int:
    """Matches that were given up before their players were sent there, their server alive or failed."""
    return int(fleet.get("matches_taken_back", 0)) + _failed_given_up(fleet)


def _lost(fleet: ServiceCounters) -> int:
    """Matches that failed with their players."""
    return int(fleet["matches_failed"]) - _failed_given_up(fleet)


def _failed_given_up(fleet: ServiceCounters) -> int:
    return int(fleet.get("matches_failed_given_up", 0))


def _started(fleet: ServiceCounters) -> LedgerEntry:
    started, taken_back = int(fleet["matches_started"]), _taken_back(fleet)
    if not taken_back:
        return LedgerEntry("started", started)
    return LedgerEntry("started − taken back", started - taken_back, f"{started} − {taken_back}")


def _ended(fleet: ServiceCounters, killed: ExpectedLosses) -> tuple[LedgerEntry, ...]:
    ended, failed = int(fleet["matches_ended"]), min(_lost(fleet), killed.servers)
    if not killed.servers:
        return (LedgerEntry("ended", ended),)
    return (LedgerEntry("ended + killed", ended + failed, f"{ended} + {failed}"),)


def _checked_out(meta: ServiceCounters, killed: ExpectedLosses) -> LedgerEntry:
    """A server that waits for the meta service may be given up in the moment in which that answers."""
    checked_out, closed = int(meta["checkouts"]), int(meta.get("closed", 0))
    if not closed or killed.servers:  # then they are among the leases that expired
        return LedgerEntry("players checked out", checked_out)
    return LedgerEntry(
        "players checked out − of matches taken back", checked_out - closed, f"{checked_out} − {closed}"
    )


def _returned(meta: ServiceCounters, killed: ExpectedLosses) -> tuple[LedgerEntry, ...]:
    commits = int(meta["commits"])
    if not killed.servers:
        return (LedgerEntry("committed", commits),)
    expired, leased = int(meta.get("expired", 0)), int(meta.get("open", 0))
    label = "committed + leases of killed servers that expired + still leased to them"
    return (LedgerEntry(label, commits + expired + leased, f"{commits} + {expired} + {leased}"),)


def _kills_of_survivors(
    fleet: ServiceCounters, kill_events: int, killed: ExpectedLosses
) -> tuple[LedgerLine, ...]:
    if not killed.servers:
        return ()
    return (
        LedgerLine(
            "kills of matches that ended",
            (
                LedgerEntry("counted by game servers", int(fleet["kills"]) - killed.kills_reported),
                LedgerEntry("kill events in Kafka", kill_events - killed.kill_events),
            ),
        ),
    )
