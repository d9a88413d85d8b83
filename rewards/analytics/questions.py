"""Ready questions: the name, the title and the SQL over the views of `rewards.analytics.query`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Question:
    """One question: the title of its answer, and its SQL."""

    title: str
    sql: str


QUESTIONS = {
    "kills": Question(
        "kills by weapon and distance",
        """
        SELECT weapon,
               CASE WHEN distance_m < 10 THEN 'under 10 m' WHEN distance_m < 50 THEN '10 to 50 m'
                    WHEN distance_m < 100 THEN '50 to 100 m' ELSE 'over 100 m' END AS distance,
               count(*) AS kills, round(100 * kills / sum(kills) OVER (), 1) AS percent,
               round(avg(distance_m), 1) AS mean_m
        FROM kill GROUP BY ALL ORDER BY weapon, mean_m
        """,
    ),
    "waits": Question(
        "seconds from the ticket to the match, by region",
        """
        SELECT region, count(*) AS players, count(waited_s) AS known,
               round(quantile_cont(waited_s, 0.5), 2) AS p50_s,
               round(quantile_cont(waited_s, 0.9), 2) AS p90_s,
               round(quantile_cont(waited_s, 0.99), 2) AS p99_s, round(max(waited_s), 2) AS max_s
        FROM (SELECT region, unnest(players).waited_s AS waited_s FROM match_started)
        GROUP BY region ORDER BY region
        """,
    ),
    "retention": Question(
        "players who played again within a day of a match, by how even it was expected to be",
        """
        WITH played AS (
            SELECT unnest(players).player_id AS player_id, occurred_at, quality FROM match_started
        ), followed AS (
            SELECT quality, lead(occurred_at) OVER (PARTITION BY player_id ORDER BY occurred_at)
                                <= occurred_at + INTERVAL 1 DAY AS came_back
            FROM played
        )
        SELECT CASE WHEN quality IS NULL THEN 'unknown' WHEN quality < 0.25 THEN '0.00 to 0.25'
                    WHEN quality < 0.5 THEN '0.25 to 0.50' WHEN quality < 0.75 THEN '0.50 to 0.75'
                    ELSE '0.75 to 1.00' END AS quality,
               count(*) AS plays, count(*) FILTER (WHERE came_back) AS again,
               round(100 * count(*) FILTER (WHERE came_back) / count(*), 1) AS percent
        FROM followed GROUP BY ALL ORDER BY 1
        """,
    ),
    "damage": Question(
        "damage by weapon, and how many shots hit",
        """
        SELECT used.weapon AS weapon, count(*) AS players, round(sum(used.dealt)) AS dealt,
               sum(used.shots)::BIGINT AS shots, sum(used.hits)::BIGINT AS hits,
               round(100 * sum(used.hits) / nullif(sum(used.shots), 0), 1) AS hit_percent,
               round(sum(used.dealt) / count(*), 1) AS dealt_each
        FROM (SELECT unnest(weapons) AS used FROM damage_summary)
        GROUP BY ALL ORDER BY dealt DESC
        """,
    ),
    "purchases": Question(
        "what was bought, and the revenue",
        """
        SELECT item_id, currency, count(*) AS purchases, sum(greatest(quantity, 1))::BIGINT AS pieces,
               sum(price)::BIGINT AS paid, count(DISTINCT player_id) AS players
        FROM purchase GROUP BY ALL ORDER BY paid DESC, item_id
        """,
    ),
    "loadouts": Question(
        "the skins that players wear: each one's newest",
        """
        SELECT skin, count(*) AS players, round(100 * players / sum(players) OVER (), 1) AS percent
        FROM (SELECT player_id, arg_max(skin, (version, occurred_at)) AS skin
              FROM loadout_changed GROUP BY player_id)
        GROUP BY ALL ORDER BY players DESC, skin
        """,
    ),
    "servers": Question(
        "game servers: seconds until Ready, idle until their match, and how they ended",
        """
        WITH lives AS (
            SELECT region, producer, min(occurred_at) FILTER (WHERE state = 'started') AS started_at,
                   min(occurred_at) FILTER (WHERE state = 'ready') AS ready_at,
                   min(occurred_at) FILTER (WHERE state = 'allocated') AS allocated_at,
                   max(occurred_at) FILTER (WHERE state IN ('ended', 'lost')) AS ended_at,
                   bool_or(state = 'lost') AS lost
            FROM server_lifecycle GROUP BY region, producer
        )
        SELECT region, count(*) AS servers, count(allocated_at) AS allocated, count(ended_at) AS ended,
               count(*) FILTER (WHERE lost) AS lost,
               round(median(epoch(ready_at) - epoch(started_at)), 3) AS ready_after_s,
               round(median(epoch(allocated_at) - epoch(ready_at)), 1) AS idle_s,
               round(median(epoch(ended_at) - epoch(allocated_at)), 1) AS match_s
        FROM lives GROUP BY region ORDER BY region
        """,
    ),
    "deaths": Question(
        "deaths by cause, and how long players had survived",
        """
        SELECT cause, count(*) AS deaths, round(avg(survived_s), 1) AS mean_survived_s
        FROM death GROUP BY cause ORDER BY deaths DESC
        """,
    ),
}
