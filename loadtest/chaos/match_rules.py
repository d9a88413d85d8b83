"""The checker's rules about matches: check-outs, results, and matches that were given up."""

from __future__ import annotations

from collections import defaultdict

from loadtest.chaos.evidence import Evidence, Rule
from loadtest.chaos.operation_log import Operation, select_operations


async def commits_are_stored(evidence: Evidence) -> list[str]:
    """Every acknowledged result is in the store as it was acknowledged."""
    rows = await evidence.store.fetch(
        "SELECT player_id, fence, match_id::text AS match, outcome, placement, kills FROM match_history"
    )
    stored = {(row["player_id"], row["fence"]): row for row in rows}
    wrong = []
    for line in select_operations(evidence.operations, "commit", "ack"):
        row = stored.get((line["player"], line["fence"]))
        kept = row and (row["match"], row["outcome"], row["placement"], row["kills"])
        if kept != (line["match"], "committed", line["placement"], line["kills"]):
            wrong.append(f"player {line['player']}, fence {line['fence']}: the store has {kept}")
    return wrong


async def no_stale_fence_was_accepted(evidence: Evidence) -> list[str]:
    """No result was accepted after another check-out of the same player.

    Checked twice: by the operations that clients logged, and by the store's own times.
    """
    newer: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for line in select_operations(evidence.operations, "checkout", "ack"):
        newer[line["player"]].append((line["at"], line["fence"]))
    first_sent: dict[tuple[int, int], int] = {}
    for line in select_operations(evidence.operations, "commit", "ask"):
        for player, fence in line["players"]:
            first_sent.setdefault((player, fence), line["at"])
    wrong = [
        f"player {line['player']}: fence {line['fence']} was accepted after a newer check-out"
        for line in select_operations(evidence.operations, "commit", "ack")
        if any(
            at < first_sent[line["player"], line["fence"]] and fence > line["fence"]
            for at, fence in newer[line["player"]]
        )
    ]
    taken = await evidence.store.fetch(
        "SELECT old.player_id, old.fence FROM match_history old JOIN match_history taken USING (player_id)"
        " WHERE old.outcome = 'committed' AND taken.fence > old.fence"
        " AND taken.fence < round(extract(epoch FROM old.ended_at) * 1000)"
    )
    return wrong + [
        f"player {row['player_id']}: the store took the stale fence {row['fence']}" for row in taken
    ]


async def fences_grow_and_leases_exclude(evidence: Evidence) -> list[str]:
    """A later check-out has a higher fence, and no server gets a player on whom another holds a lease."""
    got: dict[int, list[Operation]] = defaultdict(list)
    for line in select_operations(evidence.operations, "checkout", "ack"):
        got[line["player"]].append(line)
    asked = {line["match"]: line["at"] for line in select_operations(evidence.operations, "checkout", "ask")}
    wrong = [
        f"player {player}: fence {line['fence']} after {before['fence']}"
        for player, lines in got.items()
        for line in lines
        for before in lines
        if before["at"] < asked[line["match"]] and before["fence"] >= line["fence"]
    ]
    overlapping = await evidence.store.fetch(
        "SELECT player_id, fence, next FROM (SELECT *, lead(fence) OVER (PARTITION BY player_id ORDER BY "
        "fence) AS next"
        " FROM match_history) held WHERE next < round(extract(epoch FROM lease_until) * 1000)"
        " AND (coalesce(outcome, '') NOT IN ('committed', 'closed')"
        "   OR next <= round(extract(epoch FROM ended_at) * 1000))"
    )
    return wrong + [
        f"player {row['player_id']}: {row['next']} was given while {row['fence']} held" for row in overlapping
    ]


async def closed_matches_have_nobody(evidence: Evidence) -> list[str]:
    """A closed match gets no player and no result; and one that has come is closed by force alone."""
    asked = {line["match"]: line for line in select_operations(evidence.operations, "checkout", "ask")}
    came = {line["match"] for line in select_operations(evidence.operations, "checkout", "ack")}
    handed_in = {
        line["match"]: line["at"] for line in select_operations(evidence.operations, "commit", "ask")
    }
    committed = {line["match"] for line in select_operations(evidence.operations, "commit", "ack")}
    begun = {
        (line["match"], line["director"]): line["at"]
        for line in select_operations(evidence.operations, "close", "ask")
    }
    forced = {
        line["match"] for line in select_operations(evidence.operations, "close", "ask") if line["force"]
    }
    closed_at: dict[str, int] = {}
    wrong = []
    for line in select_operations(evidence.operations, "close", "ack"):
        match, at = line["match"], line["at"]
        if line["closed"]:
            closed_at.setdefault(match, at)
        elif begun[match, line["director"]] > closed_at.get(match, at):
            wrong.append(f"match {match} was closed, and has come")
        # Beyond its leases a match is forgotten, and may be closed like one that never came.
        within = match in came and at - asked[match]["at"] < asked[match]["lease_s"] * 1e9
        if within and line["closed"] and match not in forced:
            wrong.append(f"match {match} has come, and was closed without force")
    for match, at in closed_at.items():
        if match in came and asked[match]["at"] > at:
            wrong.append(f"match {match} got players after it was closed")
        if match in committed and handed_in[match] > at:
            wrong.append(f"match {match} was committed after it was closed")
    stored = await evidence.store.fetch(
        "SELECT DISTINCT match_id::text AS match FROM match_history WHERE outcome = 'closed'"
    )
    given_up = {match for match, _ in begun}
    return wrong + [
        f"match {row['match']} was closed, and nobody gave it up"
        for row in stored
        if row["match"] not in given_up
    ]


MATCH_RULES: tuple[Rule, ...] = (
    commits_are_stored,
    no_stale_fence_was_accepted,
    fences_grow_and_leases_exclude,
    closed_matches_have_nobody,
)
