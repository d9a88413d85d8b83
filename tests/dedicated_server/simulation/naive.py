"""The match in plain Python, one object a player, every pair compared with every other.

Slow and obviously right.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from dedicated_server.protocol.inputs import VIEW_SLACK_TICKS
from dedicated_server.simulation.heading import direction
from dedicated_server.simulation.hits import MAX_REWIND_TICKS
from dedicated_server.simulation.movement import MAX_STEPS_PER_TICK
from dedicated_server.simulation.reserve import (
    EMPTIED,
    LEAST_SPARE,
    MAX_RESERVE,
    MISSED,
    PATIENCE,
    SPARE_ENOUGH,
)
from dedicated_server.simulation.world import BODY_RADIUS_M, FULL_HEALTH_POINTS, MAX_SHOTS_PER_PLAYER

RIFLE_POINTS, INTERVAL_TICKS, RANGE_M = 10.0, 8, 80.0  # what everybody has


@dataclass
class Wish:
    """One input of a player."""

    input_tick: int
    move_x: int
    move_y: int
    yaw: int
    fire: bool
    view: int
    fraction: int = 0
    oldest: int = 0

    @property
    def claim(self) -> float:
        return self.view + self.fraction / 16


@dataclass
class Player:
    team: int
    x_m: float
    y_m: float
    health: float = FULL_HEALTH_POINTS
    damage: float = 0.0
    taken: float = 0.0
    alive: bool = True
    yaw: int = 0
    spare: int = 0
    shown: float = 0.0
    played: int = 0
    next_shot: int = 0
    applied: int = 0
    kills: int = 0
    deaths: int = 0
    shots: int = 0
    hits: int = 0
    refused: int = 0
    clamped: int = 0
    changed_tick: int = 0
    trail: dict[int, tuple[float, float]] = field(default_factory=dict)
    wishes: dict[int, Wish] = field(default_factory=dict)  # by client tick, as far as they arrived


@dataclass
class Rules:
    map_half_m: float
    step_m: float
    zone_x_m: float
    zone_y_m: float
    zone_start_m: float
    hold_ticks: int
    closed_ticks: int
    zone_points: float
    respawn_ticks: int


@dataclass
class Shot:
    actor: int
    claim: float
    believed: float
    x_m: float
    y_m: float
    yaw: int


class NaiveMatch:
    """Everyone present and playing from ``start_tick``."""

    def __init__(self, players: list[Player], rules: Rules, start_tick: int, ring: int) -> None:
        self.players = players
        self.rules = rules
        self.start_tick = start_tick
        self.ring = ring
        self.tick = start_tick - 1
        self.spawns = [(player.x_m, player.y_m) for player in players]
        self.events: list[tuple[str, int, int, int]] = []  # kind, tick, actor, victim
        for player in players:
            player.trail = dict.fromkeys(range(-100, start_tick), (player.x_m, player.y_m))

    def step(self, tick: int) -> None:
        elapsed, self.tick = tick - self.tick, tick
        shots = [shot for index in range(len(self.players)) for shot in self._play(index, elapsed)]
        self._respawn()
        for player in self.players:
            for passed in range(tick - elapsed + 1, tick + 1):
                player.trail[passed] = (player.x_m, player.y_m)
        hits = [(shot.actor, victim) for shot in shots if (victim := self._judge(shot)) is not None]
        self._hurt_by_shots(hits)
        self._hurt_by_zone()

    def _play(self, index: int, elapsed: int) -> list[Shot]:
        player = self.players[index]
        newest = max(player.wishes, default=0)
        shots: list[Shot] = []
        if newest == 0:
            return shots
        if player.applied == 0:
            player.applied, player.spare, player.shown = newest - 1, 0, 0.0
        due = min(elapsed, MAX_STEPS_PER_TICK)
        self._refuse(player, newest, due)
        while due and player.applied < newest:
            player.applied += 1
            wish = player.wishes.get(player.applied)
            if wish is None:
                continue
            due -= 1
            player.played += 1
            player.shown = max(player.shown, min(wish.claim, self.tick))
            if not player.alive:
                continue
            player.yaw = wish.yaw
            self._walk(player, wish)
            if wish.fire and player.played >= player.next_shot and len(shots) < MAX_SHOTS_PER_PLAYER:
                player.next_shot = player.played + INTERVAL_TICKS
                player.shots += 1
                believed = wish.claim if wish.claim >= wish.oldest else wish.oldest + VIEW_SLACK_TICKS
                believed = max(believed, player.shown)
                shots.append(Shot(index, wish.claim, believed, player.x_m, player.y_m, wish.yaw))
        self._count_reserve(player, newest - player.applied, due > 0)
        return shots

    def _refuse(self, player: Player, newest: int, due: int) -> None:
        last = newest - due - MAX_RESERVE
        if player.spare >= PATIENCE:
            player.spare -= EMPTIED
            last = max(last, min(player.applied + 1, newest - due))
        for tick in range(player.applied + 1, last + 1):
            player.refused += tick in player.wishes and tick > newest - self.ring
        player.applied = max(player.applied, last)

    def _count_reserve(self, player: Player, waiting: int, missed: bool) -> None:
        if missed:
            player.spare = max(min(player.spare, 0) - MISSED, LEAST_SPARE)
        elif waiting == 0:
            if player.spare > 0:
                player.spare = max(min(player.spare, SPARE_ENOUGH) - EMPTIED, 0)
        elif waiting == 1:
            player.spare += 1
        else:
            player.spare = max(player.spare, 0) + 1

    def _walk(self, player: Player, wish: Wish) -> None:
        east, north = wish.move_x / 127.0, wish.move_y / 127.0
        square = east * east + north * north
        if square > 1.0:
            east, north = east / math.sqrt(square), north / math.sqrt(square)
        half, step = self.rules.map_half_m, self.rules.step_m
        player.x_m = min(max(player.x_m + east * step, -half), half)
        player.y_m = min(max(player.y_m + north * step, -half), half)

    def _judge(self, shot: Shot) -> int | None:
        actor = self.players[shot.actor]
        view = min(max(shot.believed, self.tick - MAX_REWIND_TICKS, 0), self.tick)
        if view != shot.claim:
            actor.clamped += 1
        cosine, sine = direction(shot.yaw)
        candidates = []
        for index, target in enumerate(self.players):
            if not target.alive or index == shot.actor or target.team == actor.team:
                continue
            if target.changed_tick > view:
                continue
            x_m, y_m = self._place_at(target, view)
            east, north = x_m - shot.x_m, y_m - shot.y_m
            along, aside = east * cosine + north * sine, east * sine - north * cosine
            in_range = 0.0 <= along <= RANGE_M
            if in_range and aside * aside <= BODY_RADIUS_M * BODY_RADIUS_M:
                candidates.append((along, index))
        if not candidates:
            return None
        actor.hits += 1
        return min(candidates)[1]

    def _place_at(self, target: Player, view: float) -> tuple[float, float]:
        tick = math.floor(view)
        (x_m, y_m), share = target.trail[tick], view - tick
        if share > 0.0:
            next_x_m, next_y_m = target.trail[tick + 1]
            x_m, y_m = x_m + share * (next_x_m - x_m), y_m + share * (next_y_m - y_m)
        return x_m, y_m

    def _hurt_by_shots(self, hits: list[tuple[int, int]]) -> None:
        for actor, victim in hits:
            target = self.players[victim]
            if target.alive:
                points = min(RIFLE_POINTS, target.health)
                target.health -= points
                self.players[actor].damage += points
                target.taken += points
                if target.health <= 0.0:
                    self._die(victim, actor)

    def zone_radius_m(self) -> float:
        played, rules = self.tick - self.start_tick, self.rules
        if played <= rules.hold_ticks:
            return rules.zone_start_m
        if played >= rules.closed_ticks:
            return 0.0
        return rules.zone_start_m * ((rules.closed_ticks - played) / (rules.closed_ticks - rules.hold_ticks))

    def _hurt_by_zone(self) -> None:
        radius = self.zone_radius_m()
        for index, player in enumerate(self.players):
            east, north = player.x_m - self.rules.zone_x_m, player.y_m - self.rules.zone_y_m
            if player.alive and east * east + north * north > radius * radius:
                player.taken += min(self.rules.zone_points, player.health)
                player.health -= self.rules.zone_points
                if player.health <= 0.0:
                    self._die(index, None)

    def _die(self, victim: int, killer: int | None) -> None:
        player = self.players[victim]
        player.alive, player.health, player.changed_tick = False, 0.0, self.tick
        player.deaths += 1
        if killer is None:
            self.events.append(("death", self.tick, -1, victim))
        else:
            self.players[killer].kills += 1
            self.events.append(("kill", self.tick, killer, victim))

    def _respawn(self) -> None:
        if not self.rules.respawn_ticks:
            return
        for player, spawn in zip(self.players, self.spawns, strict=True):
            if not player.alive and self.tick - player.changed_tick >= self.rules.respawn_ticks:
                player.alive, player.health, player.changed_tick = True, FULL_HEALTH_POINTS, self.tick
                player.x_m, player.y_m = spawn
