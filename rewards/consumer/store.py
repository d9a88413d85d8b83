"""The global store: a batch's ids, gains, levels and offsets in one transaction, many rows a statement."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from launchday import rules_in_force
from launchday.seasons import Season
from rewards.consumer import gives, newer_events, statements, totals
from rewards.consumer.batch import Batch, NewerEvent
from rewards.consumer.gives import NOTHING, Due, Given
from rewards.consumer.newer_events import WaitingEvents
from rewards.consumer.outbox import level_up_envelope
from rewards.consumer.store_connection import MAX_CONNECTIONS, ConnectionPool
from rewards.consumer.stored_positions import StoredPositions
from rewards.consumer.totals import Totals
from rewards.events import Envelope
from rewards.progression.effects import Effects, fold
from rewards.progression.ratings import Rating, outcome_id, rate, rated_players
from rewards.progression.rules import Rules
from rewards.records import Partition

PlayerProgress = tuple[int, int, int]
"""Player id, XP and level, as stored."""

PlayerRating = tuple[int, str, Rating]
"""Player id, mode and rating, as stored."""


@dataclass(frozen=True, slots=True)
class AppliedBatch:
    """What a transaction did.

    Attributes:
        effects: gains and kinds of the events that were new.
        duplicates: the number of events that had had their effect before, or came twice in the batch.
        dead_letters: the number of bad records that were new.
        progress: the rows of players that changed, as they are now.
        ratings: the ratings that changed, as they are now.
        level_ups: the number of level-ups put into the outbox.
        newer: the number of events newly kept for a program that knows more.
        given: what players have now of what tiers and challenges gave.
    """

    effects: Effects
    duplicates: int
    dead_letters: int
    progress: list[PlayerProgress]
    ratings: list[PlayerRating]
    level_ups: int = 0
    newer: int = 0
    given: Given = NOTHING


class Store:
    """Applies batches. Every method raises StoreUnavailableError when the store does not answer.

    Args:
        url: ``postgresql://…`` of the global store.
        consumer: the name under which offsets are kept.
        rules: what events are worth.
        dead_letter_topic: the topic that bad records have in the inbox.
        announce_level_ups: put level-ups into the outbox.
        gives: give what tiers and challenges give.
        connections: most connections at the same time.
    """

    def __init__(
        self,
        url: str,
        consumer: str,
        rules: Rules,
        dead_letter_topic: str,
        *,
        announce_level_ups: bool = False,
        gives: bool = True,
        connections: int = MAX_CONNECTIONS,
    ) -> None:
        self.connections = ConnectionPool(url, size=connections)
        self.positions = StoredPositions(self.connections, consumer, self.known)
        self._consumer = consumer
        self._rules = rules
        self._dead_letter_topic = dead_letter_topic
        self._announce_level_ups = announce_level_ups
        self._gives = gives

    @property
    def rules(self) -> Rules:
        """What events are worth now."""
        return self._rules

    def go_by(self, rules: Rules) -> None:
        """Let events be worth what other rules say, from the next batch on."""
        self._rules = rules

    async def apply(self, batch: Batch, now_s: float) -> AppliedBatch:
        """Give each new event of the batch its effect, and remember how far we have read: all or nothing.

        Events that are newer than this program are kept for another, and have none.

        Args:
            batch: records of any partitions.
            now_s: Unix seconds, stamped on the rows that change.

        Raises:
            StoreRefusedError: something in the batch can never be stored.
        """
        rated_only = batch.rated_only
        topics = {
            event.event_id: event.raw.topic for event in batch.events if event.event_id not in rated_only
        }
        topics |= {bad.raw.dead_letter_id: self._dead_letter_topic for bad in batch.bad_records}
        async with self.connections.transaction() as connection:
            await newer_events.forget(connection, batch.taken_up)
            new = await self._insert_ids(connection, topics, now_s)
            fresh = {event.event_id: event.envelope for event in batch.events if event.event_id in new}
            rules = self._rules  # of the whole batch: others may be put in force meanwhile
            effects = fold(fresh.values(), rules)
            again = await self._told_again(connection, effects.results)
            if again:
                told_first = [event for event in fresh.values() if event.event_id not in again]
                effects = fold(told_first, rules)
            # Challenges first: completing them gives points. Row locks come in one order of tables and keys:
            # challenges, seasons, what was given, wallets and items, ratings, progression.
            due = await self._store_challenges(connection, effects, rules)
            due += await self._store_seasons(connection, effects, rules.seasons)
            given = await gives.give(connection, due, now_s) if self._gives else NOTHING
            ratings, late = await self._rate_in_turn(connection, batch, effects, now_s)
            progress = await self._store_progression(connection, effects, rules, now_s)
            level_ups = await self._queue_level_ups(connection, effects, rules, progress, fresh.values())
            await self._store_offsets(connection, batch.next_offsets)
            kept = 0
            if batch.newer or late:
                # Those that an earlier program, or this one in an earlier life, has counted are no news.
                known = await _known(connection, [event.event_id for event in batch.newer])
                unknown = [event for event in batch.newer if event.event_id not in known]
                kept = await newer_events.keep(connection, [*unknown, *late], now_s) - len(late)
        return AppliedBatch(
            effects=effects,
            duplicates=len(batch.events) - len(rated_only) - len(fresh) + len(again),
            dead_letters=len(new) - len(fresh),
            progress=progress,
            ratings=ratings,
            level_ups=level_ups,
            newer=kept,
            given=given,
        )

    async def next_offsets(self) -> dict[Partition, int]:
        """Return the offset after the last record applied, for each partition."""
        async with self.connections.acquire() as connection:
            rows = await connection.fetch(
                "SELECT topic, partition, next_offset FROM consumer_offsets WHERE consumer = $1",
                self._consumer,
            )
        return {(row["topic"], row["partition"]): row["next_offset"] for row in rows}

    async def known(self, ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
        """Return those of the ids that are in the inbox, or whose events are kept for a newer program."""
        async with self.connections.acquire() as connection:
            return await _known(connection, ids)

    async def newer_after(self, entry: int, limit: int) -> Sequence[Any]:
        """Return the next entries of kept events behind an entry, in their order."""
        async with self.connections.acquire() as connection:
            rows: Sequence[Any] = await connection.fetch(statements.SELECT_NEWER, entry, limit)
        return rows

    async def newer_waiting(self) -> WaitingEvents:
        """Count the events that are kept for a program that knows more. It reads them all."""
        async with self.connections.acquire() as connection:
            return await newer_events.waiting(connection)

    async def recent_progress(self, window_s: float) -> list[PlayerProgress]:
        """Return the rows that changed in the last ``window_s`` seconds before the newest change."""
        async with self.connections.acquire() as connection:
            rows = await connection.fetch(
                "SELECT player_id, xp, level FROM progression "
                "WHERE updated_at >= (SELECT max(updated_at) FROM progression) - make_interval(secs => $1)",
                window_s,
            )
        return [(row["player_id"], row["xp"], row["level"]) for row in rows]

    async def recent_ratings(self, window_s: float) -> list[PlayerRating]:
        """Return the ratings that changed in the last ``window_s`` seconds before the newest change."""
        async with self.connections.acquire() as connection:
            rows = await connection.fetch(
                "SELECT player_id, mode, mu, sigma, matches FROM ratings "
                "WHERE updated_at >= (SELECT max(updated_at) FROM ratings) - make_interval(secs => $1)",
                window_s,
            )
        return [
            (row["player_id"], row["mode"], Rating(row["mu"], row["sigma"], row["matches"])) for row in rows
        ]

    async def recently_given(self, window_s: float) -> Given:
        """Return what players have of what was given in the last ``window_s`` before the newest gift."""
        async with self.connections.acquire() as connection:
            return await gives.recently_given(connection, window_s)

    async def publish_rules(self, rules: Rules, now_s: float) -> None:
        """Say in the store what events are worth, for those who show it; ``now_s`` dates it."""
        async with self.connections.acquire() as connection:
            await connection.execute(
                statements.PUBLISH_RULES, rules_in_force.NAME, rules.in_force().as_text(), now_s
            )

    async def totals(self, source_topics: Collection[str]) -> Totals:
        """Say what has been applied of these topics. The first time in an older store it counts for long."""
        async with self.connections.acquire() as connection:
            found = await totals.read(connection, source_topics, self._dead_letter_topic)
        if found is None:
            await totals.count_before(self.connections)
            return await self.totals(source_topics)
        return found

    async def close(self) -> None:
        """Close the connections."""
        await self.connections.close()

    async def _insert_ids(
        self, connection: Any, topics: Mapping[uuid.UUID, str], now_s: float
    ) -> set[uuid.UUID]:
        """Put ids into the inbox, each with its topic; return those that were not there."""
        if not topics:
            return set()
        ids = sorted(topics)
        names = sorted(set(topics.values()))
        place = {name: index for index, name in enumerate(names)}
        added = await connection.fetchval(
            statements.INSERT_INBOX, ids, bytes(place[topics[event_id]] for event_id in ids), names, now_s
        )
        return set(added or ())

    async def _told_again(self, connection: Any, results: Sequence[Envelope]) -> set[bytes]:
        """Return the ids of results that were told before under other ids: the same match, the same end.

        Our servers make the ids of the match (`EventIds.of_match`); others may not. Results come in one
        order, so it is the first telling that counts.
        """
        if not results:
            return set()
        rows = await connection.fetch(
            statements.SELECT_OUTCOMES, [uuid.UUID(bytes=result.match_id) for result in results]
        )
        told = {(row["match_id"].bytes, row["outcome"]) for row in rows}
        again: set[bytes] = set()
        for result in results:
            end = result.match_id, outcome_id(result)
            if end in told:
                again.add(result.event_id)
            told.add(end)
        return again

    async def _store_progression(
        self, connection: Any, effects: Effects, rules: Rules, now_s: float
    ) -> list[PlayerProgress]:
        if not effects.players:
            return []
        players = sorted(effects.players)
        gains = [effects.players[player_id] for player_id in players]
        rows = await connection.fetch(
            statements.UPSERT_PROGRESSION,
            players,
            [gain.xp for gain in gains],
            [gain.kills for gain in gains],
            [gain.deaths for gain in gains],
            [gain.matches for gain in gains],
            rules.thresholds,
            now_s,
        )
        return [(row["player_id"], row["xp"], row["level"]) for row in rows]

    async def _store_challenges(self, connection: Any, effects: Effects, rules: Rules) -> list[Due]:
        """Add to challenges, and credit the points of those that are completed; return what they give."""
        if not effects.challenge_counts:
            return []
        challenges = rules.challenges
        places = sorted(effects.challenge_counts)
        rows = await connection.fetch(
            statements.UPSERT_CHALLENGES,
            [player_id for player_id, _, _ in places],
            [challenges[index].name for _, index, _ in places],
            [period for _, _, period in places],
            [effects.challenge_counts[place] for place in places],
        )
        by_name = {challenge.name: challenge for challenge in challenges}
        done = [
            (player_id, name, period)
            for player_id, name, period, count, was_completed in rows
            if not was_completed and count >= by_name[name].count
        ]
        if not done:
            return []
        players, names, periods = zip(*done, strict=True)
        items = [(name, give.item) for name in set(names) for give in by_name[name].gives if give.item]
        rows = await connection.fetch(
            statements.COMPLETE_CHALLENGES,
            players,
            names,
            periods,
            [name for name, _ in items],
            [item for _, item in items],
        )
        due: list[Due] = []
        for player_id, name, period in rows:
            challenge = by_name[name]
            effects.credit(player_id, challenge.xp, challenge.season)
            due += gives.challenge_due(player_id, challenge, period)
        return due

    async def _store_seasons(self, connection: Any, effects: Effects, seasons: Sequence[Season]) -> list[Due]:
        """Add to the passes of seasons; return what the tiers give that were reached."""
        due: list[Due] = []
        for season in seasons:
            gains = sorted(
                (player_id, xp) for (player_id, name), xp in effects.season_xp.items() if name == season.name
            )
            if gains:
                players, points = zip(*gains, strict=True)
                climbed = await connection.fetch(
                    statements.UPSERT_SEASONS, players, season.name, points, season.thresholds
                )
                for row in climbed:
                    due += gives.tiers_due(row["player_id"], season, row["before"], row["tier"])
        return due

    async def _rate_in_turn(
        self, connection: Any, batch: Batch, effects: Effects, now_s: float
    ) -> tuple[list[PlayerRating], list[NewerEvent]]:
        """Rate a batch's results that are due; return the ratings, and the results that have to wait."""
        if not (effects.results or batch.rated_only):
            return [], []
        if not (batch.taken_up or any(event.is_result for event in batch.newer)):
            ratings = await self._store_ratings(connection, effects.results, now_s, in_turn=False)
            if ratings is not None:
                return ratings, []
        fresh = {result.event_id for result in effects.results}
        results = [
            event
            for event in batch.events
            if event.envelope.event_id in fresh or event.event_id in batch.rated_only
        ]
        if batch.taken_up:  # all that waited before them, they were found in their order
            due, late = results, []
        elif await newer_events.a_result_waits(connection):
            due, late = [], results
        else:
            due, late = newer_events.split_results(batch, results)
        envelopes = [event.envelope for event in due]
        ratings = await self._store_ratings(connection, envelopes, now_s, in_turn=True)
        return ratings or [], newer_events.in_their_turn(late)

    async def _store_ratings(
        self, connection: Any, results: Sequence[Envelope], now_s: float, *, in_turn: bool
    ) -> list[PlayerRating] | None:
        """Rate the matches that have not been rated yet, in the order of their results.

        Unless it is known to be their turn, it is asked; None where another result waits before them.
        """
        by_match: dict[uuid.UUID, Envelope] = {}
        for result in results:
            by_match.setdefault(uuid.UUID(bytes=result.match_id), result)
        if not by_match:
            return []
        ids = sorted(by_match)
        rows = await connection.fetch(
            statements.INSERT_RATED_MATCHES,
            ids,
            [by_match[id_].match_ended.mode for id_ in ids],
            in_turn,
            [outcome_id(by_match[id_]) for id_ in ids],
        )
        if not rows and not in_turn and await newer_events.a_result_waits(connection):
            return None
        new = {row["match_id"] for row in rows}
        unrated = [result for match_id, result in by_match.items() if match_id in new]
        wanted = rated_players(unrated)
        rows = await connection.fetch(
            statements.SELECT_RATINGS, [player_id for player_id, _ in wanted], [mode for _, mode in wanted]
        )
        known = {
            (row["player_id"], row["mode"]): Rating(row["mu"], row["sigma"], row["matches"]) for row in rows
        }
        moved = sorted((*key, rating) for key, rating in rate(unrated, known).items())
        if moved:
            await connection.execute(
                statements.UPSERT_RATINGS,
                [player_id for player_id, _, _ in moved],
                [mode for _, mode, _ in moved],
                [rating.mu for _, _, rating in moved],
                [rating.sigma for _, _, rating in moved],
                [rating.matches for _, _, rating in moved],
                now_s,
            )
        return moved

    async def _queue_level_ups(
        self,
        connection: Any,
        effects: Effects,
        rules: Rules,
        progress: Sequence[PlayerProgress],
        events: Collection[Envelope],
    ) -> int:
        """Put level-ups into the outbox, at the time of the newest event; returns how many."""
        if not self._announce_level_ups:
            return 0
        levels = [
            (player_id, before, level, xp)
            for player_id, xp, level in progress
            if (before := rules.level(xp - effects.players[player_id].xp)) < level
        ]
        if levels:
            at_s = max(event.occurred_at for event in events)
            made = [level_up_envelope(*one, at_s) for one in levels]
            await connection.execute(
                "INSERT INTO event_outbox (event_id, envelope) SELECT * FROM unnest($1::uuid[], $2::bytea[]) "
                "ON CONFLICT (event_id) DO NOTHING",
                [event_id for event_id, _ in made],
                [envelope for _, envelope in made],
            )
        return len(levels)

    async def _store_offsets(self, connection: Any, next_offsets: Mapping[Partition, int]) -> None:
        places = sorted(next_offsets)
        await connection.execute(
            statements.UPSERT_OFFSETS,
            self._consumer,
            [topic for topic, _ in places],
            [partition for _, partition in places],
            [next_offsets[place] for place in places],
            [self.positions.topic_ids.get(topic) for topic, _ in places],
        )


async def _known(connection: Any, ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
    rows = await connection.fetch(statements.SELECT_KNOWN, list(ids)) if ids else []
    return {row["event_id"] for row in rows}
