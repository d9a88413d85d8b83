"""A scenario: who arrives, from where, over which links, to play what, on which fleet, and the objectives."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from loadtest.scenario.arrivals import Arrivals, curves_of, longest_s, trace_mistakes
from loadtest.scenario.faults import CutRegion, Fault, KillServer, Pause
from loadtest.scenario.modes import KeyPath, known_cards, played_as
from loadtest.scenario.players import Behaviours, Links, ModeSection, Players
from loadtest.scenario.sections import (
    BY_REGION,
    NO_LOGINS,
    NO_TICKS,
    NUMBER,
    Region,
    Section,
    acts,
    form_of,
)

SHARE_TOLERANCE = 1e-6
FORK_S = 0.1  # that a server takes from its fork until it is ready, beside the delay that a fleet simulates
MAX_SERVERS_OF_A_BACKEND = 4_096  # what the backend's own setting allows

BufferCount = Annotated[int, Field(ge=0, le=100_000)]
ServerCount = Annotated[int, Field(ge=1, le=1_000_000)]
Buffers = Annotated[
    Annotated[BufferCount, Tag(NUMBER)]
    | Annotated[dict[Region, BufferCount], Field(min_length=1), Tag(BY_REGION)],
    Discriminator(form_of),
]
Limits = Annotated[
    Annotated[ServerCount, Tag(NUMBER)]
    | Annotated[dict[Region, ServerCount], Field(min_length=1), Tag(BY_REGION)],
    Discriminator(form_of),
]


class FleetSection(Section):
    """The game servers, and what they cost."""

    regions: list[Region] = Field(
        ["west-europe", "east-us"],
        min_length=1,
        max_length=16,
        description="Regions with a fleet each, by their names in region_rtt.csv.",
        json_schema_extra=acts(own_backend=True),
    )
    buffer: Buffers = Field(
        2,
        description="Idle warm servers kept ready in each region; sweep varies it. A mapping of all regions "
        "gives each a number of its own: {west-europe: 3, east-us: 1}.",
        json_schema_extra=acts(own_backend=True),
    )
    max: Limits = Field(
        64,
        description="The most game servers, all regions together. A mapping of all regions limits each by "
        "itself, and all together to the sum.",
        json_schema_extra=acts(own_backend=True),
    )
    startup_s: float = Field(
        0.05,
        ge=0,
        le=86_400,
        description="Seconds from the request for another server until it is ready. A fork of the warm "
        "parent takes some hundredths of a second; a new machine takes a minute and more.",
        json_schema_extra=acts(flood="acts: a server is forked so much later", own_backend=True),
    )
    startup_spread: float = Field(
        0.0,
        ge=0,
        le=2,
        description="Standard deviation of the logarithm of the start-up time; 0: always the same.",
        json_schema_extra=acts(flood="nothing: a start always takes as long"),
    )
    failures_per_server_hour: float = Field(
        0.0,
        ge=0,
        le=100,
        description="Failures of one server per hour of play.",
        json_schema_extra=acts(flood="nothing: game servers fail by themselves there; faults kill some"),
    )
    policy: Literal["buffer", "forecast"] = Field(
        "buffer",
        description="buffer keeps so many ready; forecast sizes the fleet by past arrivals (Erlang B).",
        json_schema_extra=acts(own_backend=True),
    )
    price_per_server_hour: float = Field(
        0.05,
        ge=0,
        le=1_000,
        description="Cost of one server for an hour, ready or playing.",
        json_schema_extra=acts(),
    )

    @property
    def buffers(self) -> dict[str, int]:
        """Servers kept ready, by region, in the order of ``regions``."""
        return self._by_region(self.buffer)

    @property
    def limits(self) -> dict[str, int]:
        """The most servers of each region, in the order of ``regions``."""
        return self._by_region(self.max)

    @property
    def limit(self) -> int:
        """The most servers of all regions together."""
        return sum(self.max.values()) if isinstance(self.max, dict) else self.max

    def _by_region(self, given: int | dict[str, int]) -> dict[str, int]:
        return {region: given[region] if isinstance(given, dict) else given for region in self.regions}


class Objectives(Section):
    """What the run must achieve to pass.

    The ledger must always balance; an objective that is null is not required.
    """

    wait_p95_s: float | None = Field(
        30.0,
        gt=0,
        description="95th percentile of the wait, from the intended arrival to the assignment.",
        json_schema_extra=acts(),
    )
    tick_p99_ms: float | None = Field(
        16.7,
        gt=0,
        description="99th percentile of the tick of the slowest game server.",
        json_schema_extra=acts(simulate=NO_TICKS, neutral=None),
    )
    missed_tick_share: float | None = Field(
        None,
        ge=0,
        le=1,
        description="The largest share of due ticks that did not start in time.",
        json_schema_extra=acts(simulate=NO_TICKS, neutral=None),
    )
    players_lost: int | None = Field(
        0,
        ge=0,
        description="The most players who lost their match or never got one.",
        json_schema_extra=acts(),
    )
    abandoned_share: float | None = Field(
        0.01,
        ge=0,
        le=1,
        description="The largest share of the players who came and gave up waiting for a match.",
        json_schema_extra=acts(),
    )
    login_p95_s: float | None = Field(
        None,
        gt=0,
        description="95th percentile of a login, in seconds; one that was given up counts with the time it "
        "took.",
        json_schema_extra=acts(simulate=NO_LOGINS, neutral=None),
    )
    purchase_p95_s: float | None = Field(
        None,
        gt=0,
        description="95th percentile of a purchase, in seconds; one that was given up counts with the time "
        "it took.",
        json_schema_extra=acts(simulate=NO_LOGINS, neutral=None),
    )
    cost: float | None = Field(
        None,
        ge=0,
        description="The highest cost of the game servers of the whole run.",
        json_schema_extra=acts(),
    )


class Scenario(Section):
    """One load test, complete: the same file and seed give the same players, arrivals and links."""

    name: str = Field(
        pattern=r"^[a-z][a-z0-9_]{0,39}$",
        description="Short name: lower case, digits, underscores.",
        json_schema_extra=acts(flood="a label", simulate="a label"),
    )
    description: str = Field(
        "",
        max_length=300,
        description="One sentence for the report.",
        json_schema_extra=acts(flood="a label", simulate="a label"),
    )
    seed: int = Field(
        0,
        ge=0,
        lt=2**63,
        description="Seed of everything random in the players and their links.",
        json_schema_extra=acts(),
    )
    duration_s: float | None = Field(
        None,
        gt=0,
        le=400 * 86_400,
        description="Seconds after which the run ends; null: when the last player has finished.",
        json_schema_extra=acts(),
    )
    players: Players
    arrivals: Arrivals
    modes: dict[str, ModeSection] = Field(
        min_length=1, max_length=8, description="What they play, by the mode's name; the shares sum to 1."
    )
    fleet: FleetSection = FleetSection()
    links: Links = Links()
    behaviours: Behaviours = Behaviours()
    faults: list[Fault] = Field([], max_length=1_000, description="What goes wrong, and when.")
    objectives: Objectives = Objectives()

    @property
    def main_mode_name(self) -> str:
        """The name of the mode that most players play."""
        return max(self.modes, key=lambda name: self.modes[name].share)

    @property
    def main_mode(self) -> ModeSection:
        """The mode that most players play."""
        return self.modes[self.main_mode_name]

    @property
    def arrivals_s(self) -> float:
        """Seconds from the first possible arrival to the last."""
        return longest_s(self.arrivals)

    @property
    def max_match_players(self) -> int:
        """Players of the largest match."""
        return max(mode.players for mode in self.modes.values())

    @property
    def max_match_s(self) -> float:
        """Seconds of the longest match."""
        return max(mode.duration_s for mode in self.modes.values())

    def contradictions(self) -> list[tuple[KeyPath, str]]:
        """Contradictions between sections: the path of each, and what is wrong."""
        found: list[tuple[KeyPath, str]] = []
        total = sum(mode.share for mode in self.modes.values())
        if abs(total - 1.0) > SHARE_TOLERANCE:
            found.append((("modes",), f"the shares sum to {total:g}, not to 1"))
        for name, mode in self.modes.items():
            if mode.min_players > mode.players:
                found.append(
                    (("modes", name, "min_players"), f"is more than the {mode.players} of a full match")
                )
            found += [
                (("players", "parties", size), f"does not fit into the {mode.players} of {name}")
                for size in self.players.parties
                if size > mode.players
            ]
        found += [
            (("links", "shares", name), "no kind of link has this name")
            for name in self.links.unknown_names()
        ]
        found += [
            (("behaviours", "shares", name), "no kind of player has this name")
            for name in self.behaviours.unknown_names()
        ]
        for index, fault in enumerate(self.faults):
            if (
                isinstance(fault, CutRegion | KillServer)
                and fault.region
                and fault.region not in self.fleet.regions
            ):
                found.append(
                    (
                        ("faults", index, "region"),
                        f"no fleet is in {fault.region}; fleet.regions has {', '.join(self.fleet.regions)}",
                    )
                )
            if isinstance(fault, Pause):
                found += [
                    (("faults", index, key), f"is for part: game_servers, and not for {fault.part}")
                    for key in fault.misplaced_keys()
                ]
        found += [
            (("fleet", "regions", index), f"{region} is given twice")
            for index, region in enumerate(self.fleet.regions)
            if region in self.fleet.regions[:index]
        ]
        for key, given in (("buffer", self.fleet.buffer), ("max", self.fleet.max)):
            found += _not_exactly(("fleet", key), given, self.fleet.regions, "fleet.regions")
        found += _not_exactly(("arrivals",), self.arrivals, self.players.locations, "players.locations")
        for location, curve in curves_of(self.arrivals).items():
            at: KeyPath = ("arrivals", location, "file") if location else ("arrivals", "file")
            found += [(at, fault) for fault in trace_mistakes(curve)]
        return found

    def backend_settings(self) -> dict[str, Any]:
        """The settings of the backend for this scenario, by their names in ``launchday.settings``.

        A launcher that starts the backend passes them on; a run against a backend that is already up does
        not. What the scenario leaves out stays as it is set.
        """
        # The settings have one match size and fill time, for the modes whose cards leave them to it; every
        # mode has a length of its own.
        cards, fleet = known_cards(), self.fleet
        sized = (mode for name, mode in self.modes.items() if name in cards and cards[name].sized_by_settings)
        mode = next(sized, self.main_mode)
        settings: dict[str, Any] = {"match_players": mode.players, "match_s": mode.duration_s}
        for section, names in (
            (mode, {"match_min_players": "min_players", "match_fill_s": "fill_s"}),
            (fleet, {"ready_per_region": "buffer", "max_servers": "max"}),
        ):
            settings |= {
                setting: getattr(section, key)
                for setting, key in names.items()
                if key in section.model_fields_set
            }
        if len(self.modes) > 1:
            settings["match_s_by_mode"] = ",".join(
                f"{name}={each.duration_s:.12g}" for name, each in self.modes.items()
            )
        if "regions" in fleet.model_fields_set:
            settings["regions"] = ",".join(fleet.regions)
        if "max_servers" in settings:
            settings["max_servers"] = _within(settings["max_servers"], MAX_SERVERS_OF_A_BACKEND)
        for name in ("ready_per_region", "max_servers"):
            if isinstance(given := settings.get(name), dict):
                settings[name] = _by_region(given)
                settings["regions"] = ",".join(fleet.regions)
        if "startup_s" in fleet.model_fields_set:
            settings["startup_delay_s"] = _by_region(
                dict.fromkeys(fleet.regions, max(0.0, fleet.startup_s - FORK_S))
            )
            settings["regions"] = ",".join(fleet.regions)
        if fleet.policy == "forecast":
            settings["fleet_policy"] = fleet.policy
        if any(mode.rules for mode in self.modes.values()):
            settings["rule_sets"] = ",".join(
                f"{name}:{played_as(name, cards)}={each.rules}"
                for name, each in self.modes.items()
                if each.rules
            )
        return settings


def _by_region(given: Mapping[str, float]) -> str:
    return ",".join(f"{region}={count:.12g}" for region, count in given.items())


def _within(given: int | dict[str, int], most: int) -> int | dict[str, int]:
    if isinstance(given, dict):
        return {region: min(count, most) for region, count in given.items()}
    return min(given, most)


def _not_exactly(
    path: KeyPath, given: Any, names: Collection[str], where: str
) -> Iterator[tuple[KeyPath, str]]:
    """What a mapping of regions or locations lacks of ``names``, and what it has beyond them."""
    if not isinstance(given, dict):
        return
    for name in names:
        if name not in given:
            yield (*path, name), f"is missing: a mapping names all of {where}"
    for name in given:
        if name not in names:
            yield (*path, name), f"is not in {where}, which has {', '.join(names)}"
