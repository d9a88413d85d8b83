"""Questions that are ready to be asked: name, what it tells, and its SQL over the views of ``query``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Question:
    """One question."""

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
        SELECT region, count(*) AS players, count(waited_s) AS told,
               round(quantile_cont(waited_s, 0.5), 2) AS p50_s, round(quantile_cont(waited_s, 0.9), 2) AS p90_s,
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
        SELECT CASE WHEN quality IS NULL THEN 'not told' WHEN quality < 0.25 THEN '0.00 to 0.25'
                    WHEN quality < 0.5 THEN '0.25 to 0.50' WHEN quality < 0.75 THEN '0.50 to 0.75'
                    ELSE '0.75 to 1.00' END AS quality,
               count(*) AS plays, count(*) FILTER (WHERE came_back) AS again,
               round(100 * count(*) FILTER (WHERE came_back) / count(*), 1) AS percent
        FROM followed GROUP BY ALL ORDER BY 1
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
