"""From a scenario to the setup of a run: the same file that floods a backend, as the arrays that virtual time
needs.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from launchday.settings import Settings
from loadtest.errors import LoadTestError, UnknownRegionError
from loadtest.scenario.faults import CutRegion, Fault, KillServer, Pause, StopCache
from loadtest.scenario.model import Scenario
from loadtest.scenario.modes import known_cards, sized_card
from loadtest.scenario.players import ModeSection
from loadtest.scenario.population import Population, draw_population
from loadtest.scenario.regions import regions
from loadtest.simulate.drawn_attributes import DrawnAttributes, mistakes
from loadtest.simulate.matching_cycle import rule_table
from loadtest.simulate.planned_modes import PlannedMode
from loadtest.simulate.policy import BufferPolicy, ForecastPolicy, Policy
from loadtest.simulate.simulator import Incident, Setup
from loadtest.simulate.warm_pool import LOG_NORMAL, UNIFORM
from loadtest.simulate.world import ModeTable, Parameters, Tickets
from matchmaker.plans.compile import compile_plan
from matchmaker.rules.attributes import Attributes
from matchmaker.rules.flexmatch.document import DocumentError
from matchmaker.rules.flexmatch.reading import read_rule_set
from matchmaker.rules.flexmatch.rule_set import RuleSet, most_players
from matchmaker.rules.modes import card_rule_set, mode_of_card
from matchmaker.rules.rules import Rules, rules_of

RETRY_S = 0.5  # the director's time between two tries to get a server in a region that had none
WINDOW = 32_768  # tickets of a region that a cycle looks at; see ``matching_cycle``
NEW_RATING = 25.0  # of a player without matches

# What comes before a wait's end and around a match, as the logs of floods on a quiet machine say.
LOGIN_S = 0.03  # to log in and to make a ticket: 10 and 16 ms
PLACE_S = 0.2  # for a server to check its players out, open and answer: 0.14 s alone, 0.3 beside others
JOIN_S = 0.1  # for the slowest player to connect: two round trips
LINGER_S = 1.05  # a server sends the result for 1 s, commits, and is gone 0.05 s later


class RuleSetError(LoadTestError):
    """Raised for a mode whose rule set cannot be read, or asks for something that a live queue does not do.

    The text says where and what. Correct the rule set.
    """


def plan(scenario: Scenario, *, rated: bool | None = None, by_plan: Collection[str] = ()) -> Setup:
    """Draw the players of a scenario and return the setup of a run.

    Args:
        by_plan: modes whose matches the plan of their rule set forms even where the fast kernel could; the
            others' are formed as the director would.
        rated: whether the matchmaker knows how good the players are; otherwise all are new. None: as
            players.rated of the scenario says, as in a flood.

    Raises:
        UnknownRegionError: no region of the fleet has a published round trip to one of the locations.
        RuleSetError: the rule set of a mode cannot be used.
    """
    population = draw_population(scenario)
    settings = Settings.model_construct(
        **scenario.backend_settings()
    )  # the defaults, regardless of the environment
    rules: list[Rules] = []
    planned: dict[int, RuleSet] = {}
    for number, (name, mode) in enumerate(scenario.modes.items()):
        found = rules_of_mode(name, mode, settings_of_mode(settings, mode), by_plan=name in by_plan)
        if isinstance(found, RuleSet):
            planned[number] = found
            found = outline(name, found, settings.max_latency_ms, mode.duration_s)
        rules.append(found)
    knows_skill = scenario.players.rated if rated is None else rated
    tickets, skill_sum, skill_squares = tickets_of(scenario, population, knows_skill)
    fleet, count = scenario.fleet, len(scenario.fleet.regions)
    startup_s = np.full(count, fleet.startup_s)
    policy = policy_of(scenario)
    last_s = float(tickets.arrives_s[int(tickets.independent_count[0]) - 1])
    return Setup(
        tickets=tickets,
        modes=modes_of(scenario, rules, planned),
        parameters=Parameters(
            groups=int(tickets.group.max()) + 1,
            period_s=settings.matching_period_s,
            retry_s=RETRY_S,
            openings=True,
            window=WINDOW,
            join_s=JOIN_S,
            linger_s=LINGER_S,
            startup_spread=fleet.startup_spread,
            startup_shape=LOG_NORMAL,
            think_s=scenario.behaviours.think_s,
            crash_per_s=fleet.failures_per_server_hour / 3_600.0,
            max_servers=fleet.limit,
            max_starting=fleet.limit,
            sample_s=max(settings.matching_period_s, (last_s + 120.0) / 1_024),
            give_up_at_s=math.inf,
            login_s=LOGIN_S,
            place_s=PLACE_S,
        ),
        rules=rule_table(rules),
        policy=policy,
        regions=tuple(fleet.regions),
        mode_names=tuple(scenario.modes),
        ready=np.array(list(fleet.buffers.values())),
        max_servers=np.array(list(fleet.limits.values())),
        startup_s=startup_s,
        skill_sum=skill_sum,
        skill_squares=skill_squares,
        incidents=incidents_of(scenario),
        until_s=math.inf if scenario.duration_s is None else scenario.duration_s,
        seed=scenario.seed,
        planned={
            number: planned_mode(scenario, number, rule_set, tickets, settings.max_latency_ms)
            for number, rule_set in planned.items()
        },
    )


def settings_of_mode(settings: Settings, mode: ModeSection) -> Settings:
    """Return the settings of a backend that plays one of the scenario's modes."""
    return settings.model_copy(
        update={
            "match_players": mode.players,
            "match_min_players": mode.min_players,
            "match_fill_s": mode.fill_s,
            "match_s": mode.duration_s,
        }
    )


def rules_of_mode(
    name: str, mode: ModeSection, settings: Settings, *, by_plan: bool = False
) -> Rules | RuleSet:
    """Return the matchmaker's rules of a mode: as the fast kernel has them, or the rule set where it has no
    numbers for it. A mode that has neither a rule set nor a card is of its size, and like the one whose size
    the settings say.

    ``by_plan``: the rule set in any case. Raises RuleSetError.
    """
    cards = known_cards()
    card = cards.get(name)
    if mode.rules:
        try:
            rule_set = read_rule_set(Path(mode.rules).read_text(encoding="utf-8"))
        except (DocumentError, UnicodeDecodeError, OSError) as error:
            reasons = "; ".join(str(error).splitlines())
            raise RuleSetError(f"modes.{name}.rules: {mode.rules}: {reasons}") from error
    elif card is not None and (by_plan or not card.sized_by_settings):
        rule_set = card_rule_set(card)
    else:
        rules = mode_of_card(card or sized_card(cards), settings).rules
        assert isinstance(rules, Rules)  # no other can be of any size
        return replace(rules, mode=name)
    if by_plan:
        return rule_set
    try:
        return rules_of(rule_set, settings.max_latency_ms, mode.duration_s)
    except DocumentError:
        return rule_set


def outline(name: str, rule_set: RuleSet, max_latency_ms: float, match_s: float) -> Rules:
    """Return the sizes of a rule set's matches, as rules of one team that no kernel reads."""
    fewest = 0
    for team in rule_set.teams:
        steps = [
            int(value)
            for each in rule_set.expansions
            if each.kind == "teams" and each.field == "minPlayers" and each.name in (team.name, *team.copies)
            for _, value in each.steps
        ]
        fewest += min([team.min_players, *steps]) * team.quantity
    most = most_players(rule_set.teams, rule_set.expansions)
    return Rules(name, most, max(1, fewest), 0.0, max_latency_ms, match_s)


def planned_mode(
    scenario: Scenario, number: int, rule_set: RuleSet, tickets: Tickets, max_latency_ms: float
) -> PlannedMode:
    """Return a mode whose matches the plan of its rule set forms. Raises RuleSetError."""
    name, mode = list(scenario.modes.items())[number]
    compiled = compile_plan(rule_set, live=True)
    wrong = mistakes(rule_set, mode.attributes, Attributes(rule_set).used)
    if wrong:
        raise RuleSetError("; ".join(f"modes.{name}.attributes: {each}" for each in wrong))
    if compiled.plan is None:
        raise RuleSetError(f"modes.{name}.rules: {mode.rules}: {'; '.join(compiled.searched)}")
    origin = np.arange(int(tickets.drawn_count[0]))
    rows = np.arange(int(tickets.independent_count[0]))
    while len(rows := rows[tickets.next_ticket[rows] >= 0]):
        following = tickets.next_ticket[rows]
        origin[following] = origin[rows]
        rows = following.astype(np.int64)
    drawn = DrawnAttributes(rule_set, mode.attributes, (scenario.seed, number))
    return PlannedMode(number, compiled, scenario.fleet.regions, max_latency_ms, drawn, origin)


def modes_of(scenario: Scenario, rules: list[Rules], planned: Collection[int] = ()) -> ModeTable:
    """Return the scenario's modes as arrays. The rules decide how many players a match has; ``planned``: the
    modes whose matches a plan forms.
    """
    modes = list(scenario.modes.values())
    return ModeTable(
        players=np.array([each.players for each in rules]),
        min_players=np.array([each.min_players for each in rules]),
        max_latency_ms=np.array([each.max_latency_ms for each in rules]),
        match_s=np.array([mode.duration_s for mode in modes]),
        spread=np.array([mode.duration_spread for mode in modes]),
        shape=np.full(len(modes), UNIFORM),
        planned=np.isin(np.arange(len(modes)), list(planned)),
    )


def policy_of(scenario: Scenario) -> Policy:
    """Return the policy that sizes the scenario's fleet."""
    fleet = scenario.fleet
    if fleet.policy == "buffer":
        return BufferPolicy(list(fleet.buffers.values()))
    startup_s = [fleet.startup_s * math.exp(fleet.startup_spread**2 / 2)] * len(fleet.regions)
    return ForecastPolicy(
        list(fleet.buffers.values()), startup_s, scenario.main_mode.players, scenario.main_mode.duration_s
    )


def tickets_of(
    scenario: Scenario, population: Population, rated: bool
) -> tuple[Tickets, NDArray[np.float64], NDArray[np.float64]]:
    """Return the population as tickets, one for each party, and per ticket the sums of true skills and of
    their squares.
    """
    sizes = np.bincount(population.party)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    profiles = [scenario.links.profile(name) for name in population.link_kinds]
    access_ms = np.array([each.latency_ms for each in profiles], np.float32)
    skill_sum = np.add.reduceat(population.skill, starts)
    skill_squares = np.add.reduceat(population.skill**2, starts)
    rtt_ms = _round_trips(population.locations, scenario.fleet.regions)
    origin, following = _sessions(scenario, len(sizes))
    drawn, spare = len(origin), spare_tickets(scenario)
    origin = np.concatenate([origin, np.zeros(spare, np.int64)])
    following = np.concatenate([following, np.full(spare, -1, np.int32)])
    # As in the matchmaker: who meets other platforms may also fill a match of players who keep to theirs.
    keeps = not population.cross_play.all()
    platform = population.platform[starts].astype(np.int32) if keeps else np.full(len(sizes), -1, np.int32)
    skill = skill_sum / sizes if rated else np.full(len(sizes), NEW_RATING)
    arrives_s = np.full(len(origin), np.inf)
    arrives_s[: len(sizes)] = population.arrives_s[starts]
    tickets = Tickets(
        arrives_s=arrives_s,
        patience_s=np.full(len(origin), scenario.behaviours.patience_s, np.float32),
        skill=skill.astype(np.float32)[origin],
        size=sizes.astype(np.int32)[origin],
        mode=population.mode[starts][origin],
        group=np.where(population.cross_play, 0, 1 + population.platform)[starts].astype(np.int32)[origin],
        platform=platform[origin],
        location=population.location[starts].astype(np.int16)[origin],
        access_ms=np.maximum.reduceat(access_ms[population.link_kind], starts)[origin],
        next_ticket=following,
        rtt_ms=rtt_ms,
        home=np.argmin(rtt_ms, axis=1).astype(np.int16),
        independent_count=np.array([len(sizes)]),
        drawn_count=np.array([drawn]),
    )
    return tickets, skill_sum[origin], skill_squares[origin]


def spare_tickets(scenario: Scenario) -> int:
    """Return for how many players who queue again there is room from the start: as many as the scenario lets
    expect, with a margin. Where they are more, the simulation makes room (``room.grown``).
    """
    fleet, players = scenario.fleet, scenario.players.count
    expected = 0
    for fault in scenario.faults:
        if isinstance(fault, KillServer):
            expected += fault.count * scenario.max_match_players
        elif isinstance(fault, CutRegion):
            expected += 2 * players // len(fleet.regions)
    for mode in scenario.modes.values():
        matches = players * mode.share * scenario.behaviours.matches / mode.players
        deaths = matches * mode.duration_s * fleet.failures_per_server_hour / 3_600.0
        if deaths > 0.0:
            expected += math.ceil(deaths + 6.0 * math.sqrt(deaths) + 1.0) * mode.players
    return min(expected, 4 * players)


def incidents_of(scenario: Scenario) -> tuple[Incident, ...]:
    """Return the scenario's faults as the fleet meets them, in order of time.

    While the cache or the director is stopped nobody is matched. What has no effect, `left_out` names.
    """
    where = {name: index for index, name in enumerate(scenario.fleet.regions)}
    found = []
    for fault in scenario.faults:
        match fault:
            case KillServer(at_s=at_s, count=count, region=region):
                servers = "server" if count == 1 else "servers"
                text = f"{count} {servers} killed" + (f" in {region}" if region else "")
                found.append(Incident(at_s, "kill", where[region] if region else -1, count, text))
            case CutRegion(at_s=at_s, for_s=for_s, region=region):
                found.append(Incident(at_s, "cut", where[region], 0, f"{region} cut off", for_s))
                found.append(Incident(at_s + for_s, "mend", where[region], 0, f"{region} back"))
            case StopCache(at_s=at_s, for_s=for_s):
                found.append(Incident(at_s, "pause", -1, 0, "cache stopped"))
                found.append(Incident(at_s + for_s, "open", -1, 0, "cache back"))
            case Pause(at_s=at_s, for_s=for_s, part="cache" | "director" as part):
                found.append(Incident(at_s, "pause", -1, 0, f"{part} paused"))
                found.append(Incident(at_s + for_s, "open", -1, 0, f"{part} goes on"))
            case _:
                found.append(Incident(fault.at_s, "note", -1, 0, f"{_words(fault)}, not simulated"))
    return tuple(sorted(found, key=lambda incident: incident.at_s))


def _words(fault: Fault) -> str:
    what = fault.do.replace("_", " ")
    return f"{what} of {fault.part.replace('_', ' ')}" if isinstance(fault, Pause) else what


def _round_trips(locations: tuple[str, ...], fleet: list[str]) -> NDArray[np.float32]:
    """Return float32[L, R], round trips in milliseconds; inf where none is published.

    Raises UnknownRegionError.
    """
    rtt_ms = np.full((len(locations), len(fleet)), np.inf, np.float32)
    for row, location in enumerate(locations):
        for column, region in enumerate(fleet):
            published = regions().rtt_between_ms(location, region)
            if published is not None:
                rtt_ms[row, column] = published
        if not np.isfinite(rtt_ms[row]).any():
            raise UnknownRegionError(
                f"no round trip is published between players.locations.{location} and any of fleet.regions "
                f"({', '.join(fleet)}): choose another location or region"
            )
    return rtt_ms


def _sessions(scenario: Scenario, tickets: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return for each ticket, later matches included, the first ticket of its session, and the next one or
    -1.
    """
    first = np.arange(tickets)
    mean = scenario.behaviours.matches
    if mean <= 1.0:
        return first, np.full(tickets, -1, np.int32)
    rng = np.random.default_rng(np.random.SeedSequence([scenario.seed, 1]))
    matches = rng.geometric(1.0 / mean, tickets)
    later = np.repeat(first, matches - 1)
    origin = np.concatenate([first, later])
    following = np.full(len(origin), -1, np.int32)
    rows = np.arange(tickets, len(origin), dtype=np.int32)
    continues = np.concatenate([later[1:] == later[:-1], [False]]) if len(later) else np.zeros(0, bool)
    following[rows[continues]] = rows[continues] + 1
    begins = np.concatenate([[True], later[1:] != later[:-1]]) if len(later) else np.zeros(0, bool)
    following[later[begins]] = rows[begins]
    return origin, following
