"""What progress has given, once each; the rules that progress goes by; and when a season's sums were reached.

Rewards gives what a tier or a challenge gives in the transaction that climbs, by a function: it writes down
who was given what for which tier, or challenge and period, and moves items and money for those alone that
were not written down before. An older release of rewards climbs without giving; a newer one gives what is due
when it starts.

Of two players with one sum the one who reached it first stands first, so sums say when they grew last. An
older worker leaves that as it was.
"""

from __future__ import annotations

from alembic import op

from meta_service.store.migrations.locks import briefly

revision = "r0019_progress_gives"
down_revision: str | None = "r0018_money"
branch_labels: tuple[str, ...] | None = None
depends_on: str | None = None

# NULL: summed up by an earlier release; then the time at which the row was stored stands for it.
REACHED = ("matches_at", "wins_at", "kills_at")

TABLES = {
    # Source: season/NAME or challenge/NAME. Key: the tier's name, or the challenge's period.
    "reward_grants": """
        player_id  bigint      NOT NULL,
        source     text        NOT NULL,
        key        text        NOT NULL,
        gives      jsonb       NOT NULL,
        given_at   timestamptz NOT NULL,
        PRIMARY KEY (player_id, source, key)
    """,
    # What rewards goes by, for those who show it; see launchday.rules_in_force.
    "rules_in_force": """
        name          text        PRIMARY KEY,
        rules         text        NOT NULL,
        published_at  timestamptz NOT NULL
    """,
}

INDEX = "CREATE INDEX reward_grants_by_time ON reward_grants (given_at)"  # found again after a crash

# Gives what is due, a list of things (gives[which], from 1) a player, source and key, and writes that down;
# what was given before is passed over, and who was deleted (r0020_accounts). Returns what the player has of
# each thing from now on. All lock rows in one order: the grants, then for each player wallets before items. A
# list with an item that is not in the catalogue waits: nothing of it is given nor written down. What a wallet
# or the item's limit has no room for does not come, and counts as given.
GIVE = """
    CREATE FUNCTION progress_give(
        players bigint[], sources text[], keys text[], which integer[], gives jsonb, who text,
        at_s double precision
    ) RETURNS TABLE (player bigint, money text, item text, total bigint, version bigint)
    LANGUAGE plpgsql AS $$
    DECLARE
        one record;
        moved record;
    BEGIN
        FOR one IN
            WITH lists AS MATERIALIZED (
                SELECT place, list FROM jsonb_array_elements(gives) WITH ORDINALITY AS each (list, place)
                WHERE NOT EXISTS (
                    SELECT FROM jsonb_array_elements(list) AS part
                    WHERE part ? 'item'
                        AND NOT EXISTS (SELECT FROM catalogue WHERE item_id = part->>'item')
                )
            ), made AS (
                INSERT INTO reward_grants AS held (player_id, source, key, gives, given_at)
                SELECT due.player_id, due.source, due.key, lists.list, to_timestamp(at_s)
                FROM unnest(players, sources, keys, which) AS due (player_id, source, key, nth)
                JOIN lists ON place = nth
                WHERE NOT EXISTS (SELECT FROM erasures WHERE erasures.player_id = due.player_id)
                ORDER BY 1, 2, 3
                ON CONFLICT DO NOTHING
                RETURNING held.player_id, held.source, held.key, held.gives
            )
            SELECT made.player_id, rtrim(made.source || ' ' || made.key) AS why,
                md5(concat_ws('/', made.player_id, made.source, made.key, place))::uuid AS transfer,
                part->>'currency' AS currency, part->>'item' AS item_id,
                coalesce(part->'amount', part->'quantity')::bigint AS many
            FROM made
            CROSS JOIN LATERAL jsonb_array_elements(made.gives) WITH ORDINALITY AS parts (part, place)
            ORDER BY made.player_id, part ? 'item', coalesce(part->>'item', part->>'currency')
        LOOP
            player := one.player_id;
            money := one.currency;
            item := one.item_id;
            IF one.currency IS NOT NULL THEN
                SELECT new_balance AS total, new_version AS version INTO moved FROM ledger_move(
                    one.transfer, one.player_id, 0, one.currency, one.many, one.why, who, NULL, NULL, at_s, ''
                );
            ELSE
                SELECT owned AS total, new_version AS version INTO moved FROM items_move(
                    one.transfer, one.player_id, one.item_id, one.many, one.why, who, at_s, ''
                );
            END IF;
            IF moved.total IS NOT NULL THEN
                total := moved.total;
                version := moved.version;
                RETURN NEXT;
            END IF;
        END LOOP;
    END $$
"""


def upgrade() -> None:
    """Create columns, tables and the function."""
    added = ", ".join(f"ADD COLUMN IF NOT EXISTS {name} timestamptz" for name in REACHED)
    briefly(
        f"ALTER TABLE season_records {added}",
        # Made of who came in on which place: a match that is told again under other ids is known by it.
        "ALTER TABLE rated_matches ADD COLUMN IF NOT EXISTS outcome uuid",
    )
    for name, columns in TABLES.items():
        op.execute(f"CREATE TABLE {name} ({columns})")
    op.execute(INDEX)
    op.execute(GIVE)


def downgrade() -> None:
    """Drop them: what progress has given, so that it is given again after another upgrade."""
    dropped = ", ".join(f"DROP COLUMN IF EXISTS {name}" for name in reversed(REACHED))
    briefly(
        f"ALTER TABLE season_records {dropped}",
        "ALTER TABLE rated_matches DROP COLUMN IF EXISTS outcome",
    )
    op.execute(
        "DROP FUNCTION progress_give (bigint[], text[], text[], integer[], jsonb, text, double precision)"
    )
    for name in reversed(TABLES):
        op.execute(f"DROP TABLE {name}")
