"""The search: which tickets form matches. One compiled call takes the whole table.

Matches are built around tickets, the oldest first. With ``exhaustiveSearch`` all combinations with that
ticket are tried, pruned where a rule is broken that more players cannot mend, until one fills the match; with
``balanced`` tickets like it are gathered and dealt to the teams so that their sums of the balanced attribute
are level.

What bounds the work: nodes of the search around one ticket, and nodes of a cycle. A ticket that they cut
short is looked at again in the next cycle, from the oldest on.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from matchmaker.rules.flexmatch.evaluate import ALL_HOLD, Candidate, first_broken, set_limits
from matchmaker.rules.flexmatch.program import Program
from matchmaker.rules.flexmatch.table import NO_TEAM, Table

UNMATCHED = -1
NO_REGION = -1
TOO_FEW = -2  # instead of a rule: no combination reached the teams' least players
NOT_TRIED = -3  # instead of a rule: the cycle's work was used up
CUT_SHORT = -4  # the work around the ticket was used up; less by one and a rule: that was broken most often

Ints = NDArray[np.int32]


class SearchBudget(NamedTuple):
    """Bounds of the search, in nodes (candidate matches looked at)."""

    per_ticket: int
    per_cycle: int


class SearchResult(NamedTuple):
    """Where the search writes.

    Attributes:
        match_of: int32[T], each ticket's match, or UNMATCHED.
        team_of: int32[P], each matched player's team.
        region_of: int32[M], or NO_REGION where no region is measured by all.
        obstacle: int32[T], the rule that was broken most often around a ticket, TOO_FEW, NOT_TRIED, or from
            CUT_SHORT downwards.
    """

    match_of: Ints
    team_of: Ints
    region_of: Ints
    obstacle: Ints


class Workspace(NamedTuple):
    """Room for the search around one ticket.

    Attributes:
        order: [T] candidates, the ticket itself first; key: [T] to sort them by; left: [T + 1] players from
            there on.
        path, place, choice: [depth] the match as it grows: ticket, its index in ``order``, its team.
        room: [K] players in each team.
        best_ticket, best_team: the best match so far, ticket by ticket; best: [0] tickets, [1] players, [2]
            region.
        best_cost: [0] its mean round trip.
        blame: [Q + 1] how often a rule was broken; last: the teams' sizes.
        laxest: [V] the numbers at their widest.
    """

    order: Ints
    key: NDArray[np.float64]
    left: Ints
    path: Ints
    place: Ints
    choice: Ints
    room: Ints
    best_ticket: Ints
    best_team: Ints
    best: Ints
    best_cost: NDArray[np.float64]
    blame: Ints
    laxest: NDArray[np.float64]


def new_workspace(program: Program, tickets: int, players: int) -> Workspace:
    """Room for tables of ``tickets`` and matches of ``players``."""
    return Workspace(
        np.zeros(tickets, np.int32),
        np.zeros(tickets, np.float64),
        np.zeros(tickets + 1, np.int32),
        np.zeros(players + 1, np.int32),
        np.zeros(players + 1, np.int32),
        np.zeros(players + 1, np.int32),
        np.zeros(len(program.teams), np.int32),
        np.zeros(players + 1, np.int32),
        np.zeros(players + 1, np.int32),
        np.zeros(3, np.int32),
        np.zeros(1, np.float64),
        np.zeros(len(program.rules) + 1, np.int32),
        np.zeros(len(program.numbers), np.float64),
    )


@njit(cache=True, nogil=True)
def search(
    program: Program,
    table: Table,
    by_age: Ints,
    shuffled: Ints,
    effort: SearchBudget,
    match: Candidate,
    desk: Workspace,
    found: SearchResult,
    formed: int,
) -> int:
    """Form matches around the tickets of ``by_age``, in that order; returns the number of matches.

    ``shuffled`` is the order in which candidates are tried before they are sorted by the rules' sort keys.
    """
    nodes = 0
    regions = table.latency_ms.shape[2]
    for anchor in by_age:
        if found.match_of[anchor] != UNMATCHED or not table.tickets[anchor].eligible:
            continue
        if nodes >= effort.per_cycle:
            found.obstacle[anchor] = NOT_TRIED
            continue
        candidates = _sort_candidates(program, table, shuffled, anchor, desk, found)
        nodes += candidates // 16
        desk.best[:] = 0
        desk.best_cost[0] = np.inf
        desk.blame[:] = 0
        # Regions matter where a rule reads them, and to gather a large match; else the best is chosen
        # afterwards.
        by_region = program.by_region or (program.large and regions > 0)
        cut_short = False
        for turn in range(regions if by_region else 1):
            region = turn if by_region else NO_REGION
            if by_region and not table.latency_ms[2, anchor, region] < np.inf:
                continue
            if program.large:
                nodes += _gather(program, table, region, candidates, match, desk)
            else:
                around = _combine(program, table, region, candidates, effort.per_ticket, match, desk)
                cut_short = cut_short or around > effort.per_ticket
                nodes += around
        if desk.best[1] == 0:
            found.obstacle[anchor] = _obstacle(desk)
            if cut_short:
                found.obstacle[anchor] = CUT_SHORT - 1 - max(found.obstacle[anchor], -1)
            continue
        region = desk.best[2]
        if region == NO_REGION:
            region = _best_region(table, desk)
        found.region_of[formed] = region
        _take(table, desk, formed, found)
        formed += 1
    return formed


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _sort_candidates(
    program: Program, table: Table, shuffled: Ints, anchor: int, desk: Workspace, found: SearchResult
) -> int:
    """Put the ticket and all that might play with it into ``desk.order``; returns how many."""
    count = 1
    desk.order[0] = anchor
    for ticket in shuffled:
        if ticket == anchor or found.match_of[ticket] != UNMATCHED or not table.tickets[ticket].eligible:
            continue
        if not _may_meet(table, anchor, ticket):
            continue
        desk.order[count] = ticket
        count += 1
    for sort in range(program.sorts.shape[0] - 1, -1, -1):
        _sort(program, table, sort, desk, count)
    desk.left[count] = 0
    for place in range(count - 1, -1, -1):
        ticket = desk.order[place]
        desk.left[place] = desk.left[place + 1] + table.tickets[ticket].last - table.tickets[ticket].first
    return count


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _may_meet(table: Table, anchor: int, ticket: int) -> bool:
    """Whether cross-play lets two meet: all who cross-play; who keeps to a platform, all of it."""
    group, other = table.tickets[anchor].group, table.tickets[ticket].group
    return bool(group == other or (group > 0 and other == 0 and table.tickets[ticket].platform == group - 1))


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _sort(program: Program, table: Table, sort: int, desk: Workspace, count: int) -> None:
    """Sort the candidates by one key, stably; those without a value come last."""
    player = table.tickets[desk.order[0]].first
    column, named = program.sorts[sort].column, np.nan
    if program.sorts[sort].map:
        chosen = np.nan
        for item in range(table.string_start[column, player], table.string_start[column, player + 1]):
            value = table.string_value[item]
            larger = value > chosen if program.sorts[sort].largest else value < chosen
            if larger or np.isnan(chosen):
                named, chosen = table.string[item], value
    own = _sorted_by(program, table, sort, player, named)
    for place in range(1, count):
        value = _sorted_by(program, table, sort, table.tickets[desk.order[place]].first, named)
        key = abs(value - own) if program.sorts[sort].relative else value
        desk.key[place] = np.inf if np.isnan(key) else key * program.sorts[sort].sign
    _sort_by_key(desk.order[1:count], desk.key[1:count])


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _sorted_by(program: Program, table: Table, sort: int, player: int, named: float) -> float:
    """A player's number, or the value of their map at the key ``named``; NaN where there is none."""
    column = program.sorts[sort].column
    if not program.sorts[sort].map:
        return float(table.number[column, player])
    for item in range(table.string_start[column, player], table.string_start[column, player + 1]):
        if table.string[item] == named:
            return float(table.string_value[item])
    return np.nan


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _sort_by_key(tickets: Ints, key: NDArray[np.float64]) -> None:
    """Sort tickets and their keys by key, stably."""
    order = np.argsort(key, kind="mergesort")
    tickets[:] = tickets[order]
    key[:] = key[order]


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _combine(
    program: Program, table: Table, region: int, candidates: int, most: int, match: Candidate, desk: Workspace
) -> int:
    """Try the combinations, depth first, until the match is full."""
    teams = program.teams.shape[0]
    _widest(program, table, candidates, desk)
    full = 0
    for team in range(teams):
        full += int(desk.laxest[program.teams[team].most])
    desk.room[:] = 0
    depth, nodes = 0, 0
    best_here = 0
    desk.place[0], desk.choice[0] = 0, -1
    while depth >= 0:
        ticket = desk.order[desk.place[depth]]
        desk.path[depth] = ticket
        desk.choice[depth] += 1
        options = 1 if table.tickets[ticket].backfill else teams
        if desk.choice[depth] >= options:
            desk.place[depth] += 1
            desk.choice[depth] = -1
            seated = _seated(desk, teams)
            exhausted = depth == 0 or desk.place[depth] >= candidates
            if exhausted or seated + desk.left[desk.place[depth]] <= best_here:
                depth -= 1
                if depth >= 0:
                    _seat(table, desk.order[desk.place[depth]], desk.choice[depth], -1, desk.room)
            continue
        if (
            not _measured(table, ticket, region)
            or _two_running(table, desk, depth, ticket)
            or not _fits(program, table, ticket, desk.choice[depth], desk)
        ):
            continue
        nodes += 1
        if nodes > most:
            break
        _seat(table, ticket, desk.choice[depth], 1, desk.room)
        _compose(table, desk, depth + 1, teams, match)
        match.limit[:] = desk.laxest
        broken = first_broken(program, table, match, region, True)
        if broken != ALL_HOLD:
            desk.blame[broken] += 1
            _seat(table, ticket, desk.choice[depth], -1, desk.room)
            continue
        seated = match.size[1]
        if seated > best_here or (seated == desk.best[1] and best_here == 0):
            broken = _broken_now(program, table, match, region, desk)
            if broken == ALL_HOLD:
                best_here = max(best_here, seated)
                _remember(table, match, region, desk, depth + 1)
                if seated >= full:
                    break
            else:
                desk.blame[broken] += 1
        if desk.place[depth] + 1 < candidates and seated < full and depth + 1 < desk.place.shape[0] - 1:
            depth += 1
            desk.place[depth], desk.choice[depth] = desk.place[depth - 1] + 1, -1
        else:
            _seat(table, ticket, desk.choice[depth], -1, desk.room)
    return nodes


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _measured(table: Table, ticket: int, region: int) -> bool:
    """Whether all players of a ticket have measured a region, where one is asked for."""
    return bool(region == NO_REGION or table.latency_ms[1, ticket, region] < np.inf)


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _seated(desk: Workspace, teams: int) -> int:
    """Players seated so far."""
    players = 0
    for team in range(teams):
        players += desk.room[team]
    return players


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _widest(program: Program, table: Table, candidates: int, desk: Workspace) -> None:
    """Fill ``laxest``: each number as lax as it is at any age up to that of the oldest candidate."""
    oldest = 0.0
    for place in range(candidates):
        oldest = max(oldest, table.tickets[desk.order[place]].age_s)
    for index in range(program.numbers.shape[0]):
        value = program.numbers[index].base
        for step in range(program.numbers[index].step_from, program.numbers[index].step_to):
            if program.steps[step].wait_s <= oldest:
                if program.numbers[index].widens > 0:
                    value = max(value, program.steps[step].value)
                elif program.numbers[index].widens < 0:
                    value = min(value, program.steps[step].value)
        desk.laxest[index] = value


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _two_running(table: Table, desk: Workspace, tickets: int, ticket: int) -> bool:
    """Whether the ticket is a running match, and so is one on the path: two of them are not one."""
    if table.tickets[ticket].backfill:
        for place in range(tickets):
            if table.tickets[desk.path[place]].backfill:
                return True
    return False


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _fits(program: Program, table: Table, ticket: int, team: int, desk: Workspace) -> bool:
    """Whether there is room; of copies of a team that are both empty only the first is tried."""
    if table.tickets[ticket].backfill:
        _seat(table, ticket, team, 1, desk.room)
        fits = True
        for each in range(program.teams.shape[0]):
            fits = fits and desk.room[each] <= desk.laxest[program.teams[each].most]
        _seat(table, ticket, team, -1, desk.room)
        return fits
    size = table.tickets[ticket].last - table.tickets[ticket].first
    if desk.room[team] + size > desk.laxest[program.teams[team].most]:
        return False
    earlier = team - 1
    same = earlier >= 0 and program.teams[earlier].kind == program.teams[team].kind
    return not (same and desk.room[team] == 0 and desk.room[earlier] == 0)


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _seat(table: Table, ticket: int, team: int, sign: int, room: Ints) -> None:
    for player in range(table.tickets[ticket].first, table.tickets[ticket].last):
        seat = table.seat[player]
        room[team if seat == NO_TEAM else seat] += sign


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _compose(table: Table, desk: Workspace, tickets: int, teams: int, match: Candidate) -> None:
    """Write the path as a candidate match."""
    match.team_start[0] = 0
    for team in range(teams):
        match.team_start[team + 1] = match.team_start[team] + desk.room[team]
    match.size[0], match.size[1] = tickets, match.team_start[teams]
    for place in range(tickets):
        ticket = desk.path[place]
        match.ticket[place] = ticket
        for player in range(table.tickets[ticket].first, table.tickets[ticket].last):
            team = desk.choice[place] if table.seat[player] == NO_TEAM else table.seat[player]
            match.player[match.team_start[team]] = player
            match.team_start[team] += 1
    for team in range(teams, 0, -1):
        match.team_start[team] = match.team_start[team - 1]
    match.team_start[0] = 0


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _broken_now(program: Program, table: Table, match: Candidate, region: int, desk: Workspace) -> int:
    """The first rule that the match breaks at its age; the teams' sizes count as the rule after the last."""
    age_s = table.tickets[match.ticket[0]].age_s
    for place in range(1, match.size[0]):
        ticket = match.ticket[place]
        age_s = (
            min(age_s, table.tickets[ticket].age_s)
            if program.newest
            else max(age_s, table.tickets[ticket].age_s)
        )
    set_limits(program, age_s, match.limit)
    for team in range(program.teams.shape[0]):
        players = match.team_start[team + 1] - match.team_start[team]
        if (
            players < match.limit[program.teams[team].fewest]
            or players > match.limit[program.teams[team].most]
        ):
            return int(program.rules.shape[0])
    if match.size[0] == 1 and table.tickets[match.ticket[0]].backfill:
        return int(program.rules.shape[0])  # a running match that got nobody
    return int(first_broken(program, table, match, region, False))


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _remember(table: Table, match: Candidate, region: int, desk: Workspace, tickets: int) -> None:
    """Keep the match if it is larger than the best, or as large and nearer."""
    cost = 0.0
    if region != NO_REGION:
        for place in range(match.size[0]):
            ticket = match.ticket[place]
            members = table.tickets[ticket].last - table.tickets[ticket].first
            cost += np.float64(table.latency_ms[2, ticket, region]) * members
        cost /= match.size[1]
    if match.size[1] < desk.best[1] or (match.size[1] == desk.best[1] and cost >= desk.best_cost[0]):
        return
    desk.best[0], desk.best[1], desk.best[2] = match.size[0], match.size[1], region
    desk.best_cost[0] = cost
    for place in range(match.size[0]):
        desk.best_ticket[place] = match.ticket[place]
        desk.best_team[place] = desk.choice[place]


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _gather(
    program: Program, table: Table, region: int, candidates: int, match: Candidate, desk: Workspace
) -> int:
    """Gather tickets like the first one, from several stretches of the axis, and deal them to the teams."""
    _widest(program, table, candidates, desk)
    anchor = desk.order[0]
    axis = program.axis_column
    nodes = 0
    own = 0.0 if axis < 0 else table.number[axis, table.tickets[anchor].first]
    for place in range(1, candidates):
        desk.key[place] = 0.0 if axis < 0 else table.number[axis, table.tickets[desk.order[place]].first]
    ordered, values = desk.order[1:candidates], desk.key[1:candidates]
    _sort_by_key(ordered, values)
    below = 0
    while below < candidates - 1 and values[below] < own:
        below += 1
    # Stretches that begin at the ticket's own value and then ever lower: the first that fills the match is
    # taken.
    step = max(1, (below + 63) // 64)
    begin = below
    while True:
        nodes += 1
        tickets = _fill(program, table, region, ordered[begin:], match, desk)
        nodes += tickets
        if tickets and _balance_teams(program, table, tickets, desk):
            _compose(table, desk, tickets, program.teams.shape[0], match)
            broken = _broken_now(program, table, match, region, desk)
            if broken == ALL_HOLD:
                _remember(table, match, region, desk, tickets)
            else:
                desk.blame[broken] += 1
        if begin == 0:
            break
        begin = max(0, begin - step)
    return int(nodes)


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _fill(
    program: Program, table: Table, region: int, ordered: Ints,
    match: Candidate, desk: Workspace,
) -> int:  # fmt: skip
    """Take the ticket and then, in the order given, all that keep the rules, into ``desk.path``; returns how
    many.
    """
    teams = program.teams.shape[0]
    full = 0
    for team in range(teams):
        full += int(desk.laxest[program.teams[team].most])
    anchor = desk.order[0]
    match.size[0], match.size[1] = 0, 0
    age_s = table.tickets[anchor].age_s
    taken = 0
    for turn in range(-1, ordered.shape[0]):
        ticket = anchor if turn < 0 else ordered[turn]
        size = table.tickets[ticket].last - table.tickets[ticket].first
        if (
            match.size[1] + size > full
            or not _measured(table, ticket, region)
            or _two_running(table, desk, taken, ticket)
        ):
            continue
        older = age_s
        age_s = (
            min(age_s, table.tickets[ticket].age_s)
            if program.newest
            else max(age_s, table.tickets[ticket].age_s)
        )
        match.ticket[taken], desk.path[taken] = ticket, ticket
        for seat in range(size):
            match.player[match.size[1] + seat] = table.tickets[ticket].first + seat
        match.size[0] += 1
        match.size[1] += size
        set_limits(program, age_s, match.limit)
        broken = first_broken(program, table, match, region, True)
        if broken != ALL_HOLD:
            desk.blame[broken] += 1
            if turn < 0:
                return 0
            match.size[0] -= 1
            match.size[1] -= size
            age_s = older
            continue
        taken += 1
        if match.size[1] == full:
            break
    return taken


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _balance_teams(program: Program, table: Table, tickets: int, desk: Workspace) -> bool:
    """Deal the tickets of ``desk.path`` to the teams: large parties first, then high values, each to the
    lowest sum.

    Teams short of their least players come before others. Returns whether every ticket found room.
    """
    teams = program.teams.shape[0]
    column = program.balanced_column
    total = np.zeros(teams, np.float64)
    desk.room[:] = 0
    rank = np.empty(tickets, np.float64)
    for place in range(tickets):
        ticket = desk.path[place]
        size = table.tickets[ticket].last - table.tickets[ticket].first
        value = 0.0 if column < 0 else table.number[column, table.tickets[ticket].first]
        rank[place] = -np.inf if table.tickets[ticket].backfill else -(size * 1e12 + value)
    _sort_by_key(desk.path[:tickets], rank)
    for place in range(tickets):
        ticket = desk.path[place]
        first, last = table.tickets[ticket].first, table.tickets[ticket].last
        chosen, chosen_short = -1, False
        for team in range(teams):
            if table.tickets[ticket].backfill:
                chosen = 0
                break
            if desk.room[team] + last - first > desk.laxest[program.teams[team].most]:
                continue
            short = desk.room[team] < desk.laxest[program.teams[team].fewest]
            if (
                chosen < 0
                or (short and not chosen_short)
                or (short == chosen_short and total[team] < total[chosen])
            ):
                chosen, chosen_short = team, short
        if chosen < 0:
            return False
        desk.choice[place] = chosen
        _seat(table, ticket, chosen, 1, desk.room)
        for player in range(first, last):
            team = chosen if table.seat[player] == NO_TEAM else table.seat[player]
            total[team] += 0.0 if column < 0 else table.number[column, player]
    return True


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _best_region(table: Table, desk: Workspace) -> int:
    """Where the match's mean round trip is least, among the regions that all of its tickets have measured."""
    best, best_cost = NO_REGION, np.inf
    for region in range(table.latency_ms.shape[2]):
        cost = 0.0
        for place in range(desk.best[0]):
            ticket = desk.best_ticket[place]
            members = table.tickets[ticket].last - table.tickets[ticket].first
            cost += np.float64(table.latency_ms[2, ticket, region]) * members
        if cost < best_cost:
            best, best_cost = region, cost
    return best


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _take(table: Table, desk: Workspace, formed: int, found: SearchResult) -> None:
    """Write the best match."""
    for place in range(desk.best[0]):
        ticket = desk.best_ticket[place]
        found.match_of[ticket] = formed
        for player in range(table.tickets[ticket].first, table.tickets[ticket].last):
            seat = table.seat[player]
            found.team_of[player] = desk.best_team[place] if seat == NO_TEAM else seat


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _obstacle(desk: Workspace) -> int:
    """The rule broken most often; TOO_FEW where it was the sizes of the teams, or nothing."""
    worst = int(np.argmax(desk.blame[:-1])) if desk.blame.shape[0] > 1 else 0
    if desk.blame.shape[0] > 1 and desk.blame[worst] > 0:
        return worst
    return TOO_FEW
