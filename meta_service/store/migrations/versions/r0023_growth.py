"""Tables that grow have an end: the inbox and idempotency keys lie in partitions of a day; totals in rows.

A table that only grows becomes the default partition of a new one of its name, which moves no row and reads
none. From then on a keeper (`launchday.resilience.day_partitions`) makes days ahead and drops those that are
over. Where none is at work, as while an older release is alone, rows go to the default partition as before.

The id of an event is a UUIDv7, so a range of ids is a day, and an id is unique in the whole table. Keys have
no day in them: `idempotency_claim` looks for one in all days that are kept, and a lock of the key's own lets
two requests with it take turns, also over midnight. Days of keys are the store's, by one clock.

Triggers count what enters the inbox, and kills, in the transaction that stores them, whichever release it is.
A process adds to a row of its own (``slot``), so that two never wait for each other.
"""

from __future__ import annotations

from alembic import op

from meta_service.store.migrations.locks import briefly
from meta_service.store.migrations.versions import r0014_one_trip as one_trip

revision = "r0023_growth"
down_revision: str | None = "r0022_social"
branch_labels: tuple[str, ...] | None = None
depends_on: str | None = None

# In one statement, so that nobody meets half of it; a second time it does nothing.
PARTITIONED = """
    DO $$ BEGIN
        IF (SELECT relkind FROM pg_class WHERE oid = '{table}'::regclass) = 'r' THEN
            ALTER TABLE {table} RENAME TO {table}_rest;
            ALTER INDEX {table}_pkey RENAME TO {table}_rest_pkey;
            CREATE TABLE {table} ({columns}) PARTITION BY RANGE ({by});
            ALTER TABLE {table} ATTACH PARTITION {table}_rest DEFAULT;
            EXECUTE format('COMMENT ON TABLE {table}_rest IS %L', (now() AT TIME ZONE 'UTC')::date::text);
        END IF;
    END $$
"""

INBOX = {
    "table": "event_inbox",
    "by": "event_id",
    "columns": """
        event_id    uuid        PRIMARY KEY,
        topic       text        NOT NULL,
        applied_at  timestamptz NOT NULL DEFAULT now()
    """,
}

TODAY = "((now() AT TIME ZONE 'UTC')::date)"

# No key of its own: one over all days would have to hold the day, and so would not be of use.
KEYS = {
    "table": "idempotency",
    "by": "claimed_on",
    "columns": f"""
        owner         bigint NOT NULL,
        key           text   NOT NULL,
        request_hash  bytea  NOT NULL,
        answer        json,
        claimed_on    date   NOT NULL DEFAULT {TODAY}
    """,
}

# Slot -1: what was there before the triggers; see `rewards.consumer.totals`. Half empty pages: an update then
# stays in its page and touches no index.
TOTALS = """
    CREATE TABLE running_totals (
        counted  text     NOT NULL CHECK (counted IN ('inbox', 'kills')),
        name     text     NOT NULL,
        slot     smallint NOT NULL,
        total    bigint   NOT NULL,
        PRIMARY KEY (counted, name, slot)
    ) WITH (fillfactor = 50)
"""

FUNCTIONS = (
    """
    CREATE FUNCTION count_inbox() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO running_totals AS kept (counted, name, slot, total)
        SELECT 'inbox', topic, pg_backend_pid() % 32, count(*) FROM added GROUP BY topic ORDER BY topic
        ON CONFLICT (counted, name, slot) DO UPDATE SET total = kept.total + excluded.total;
        RETURN NULL;
    END $$
    """,
    """
    CREATE FUNCTION count_kills() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        change bigint;
    BEGIN
        IF TG_OP = 'INSERT' THEN
            SELECT sum(kills) INTO change FROM added;
        ELSE
            SELECT (SELECT sum(kills) FROM added) - (SELECT sum(kills) FROM before) INTO change;
        END IF;
        IF change <> 0 THEN
            INSERT INTO running_totals AS kept (counted, name, slot, total)
            VALUES ('kills', '', pg_backend_pid() % 32, change)
            ON CONFLICT (counted, name, slot) DO UPDATE SET total = kept.total + excluded.total;
        END IF;
        RETURN NULL;
    END $$
    """,
    """
    CREATE OR REPLACE FUNCTION idempotency_claim(
        of_owner bigint, under_key text, asked bytea, OUT fresh boolean, OUT refusal text, OUT earlier json
    ) LANGUAGE plpgsql AS $$
    DECLARE
        known bytea;
    BEGIN
        -- Undone with the claim, where the caller refuses. Tomorrow's keys are looked at, too: another store
        -- whose clock is ahead may have taken them.
        PERFORM pg_advisory_xact_lock(hashtextextended(under_key, of_owner));
        SELECT request_hash, answer INTO known, earlier FROM idempotency
        WHERE owner = of_owner AND key = under_key AND claimed_on <= (now() AT TIME ZONE 'UTC')::date + 1;
        fresh := NOT FOUND;
        IF fresh THEN
            INSERT INTO idempotency (owner, key, request_hash) VALUES (of_owner, under_key, asked);
        ELSIF known IS DISTINCT FROM asked THEN
            refusal := 'idempotency-key-reused';
            earlier := NULL;
        END IF;
    END $$
    """,
)

TRIGGERS = (
    """
    CREATE TRIGGER event_inbox_counted AFTER INSERT ON event_inbox REFERENCING NEW TABLE AS added
        FOR EACH STATEMENT EXECUTE FUNCTION count_inbox()
    """,
    """
    CREATE TRIGGER progression_counted AFTER INSERT ON progression REFERENCING NEW TABLE AS added
        FOR EACH STATEMENT EXECUTE FUNCTION count_kills()
    """,
    """
    CREATE TRIGGER progression_recounted AFTER UPDATE ON progression
        REFERENCING OLD TABLE AS before NEW TABLE AS added
        FOR EACH STATEMENT EXECUTE FUNCTION count_kills()
    """,
    # Where nothing was before, that is known without a count.
    """
    INSERT INTO running_totals (counted, name, slot, total)
    SELECT 'inbox', '', -1, 0 WHERE NOT EXISTS (SELECT FROM event_inbox)
        AND NOT EXISTS (SELECT FROM progression)
    """,
)

# Functions write the answer to a key in the transaction that claimed it, so it is of the same day. Without
# the day PostgreSQL opens every partition: 0.2 ms a purchase.
ANSWERS = """
    DO $$ DECLARE
        definition text;
    BEGIN
        FOR definition IN SELECT pg_get_functiondef(oid) FROM pg_proc
            WHERE prokind = 'f'
                AND prosrc LIKE '%UPDATE idempotency SET answer = % AND key = under_key{before};%'
        LOOP
            EXECUTE replace(definition, 'AND key = under_key{before};', 'AND key = under_key{after};');
        END LOOP;
    END $$
"""
OF_TODAY = " AND claimed_on = (now() AT TIME ZONE ''UTC'')::date"

# Back to one table: its days move into the rest, which takes the name again.
WHOLE = """
    DO $$ BEGIN
        IF (SELECT relkind FROM pg_class WHERE oid = '{table}'::regclass) = 'p' THEN
            LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE;
            ALTER TABLE {table} DETACH PARTITION {table}_rest;
            INSERT INTO {table}_rest SELECT * FROM {table} ON CONFLICT DO NOTHING;
            DROP TABLE {table};
            ALTER TABLE {table}_rest RENAME TO {table};
            ALTER INDEX {table}_rest_pkey RENAME TO {table}_pkey;
        END IF;
    END $$
"""


def upgrade() -> None:
    """Lay the tables into partitions, and begin to count."""
    briefly(
        f"ALTER TABLE idempotency ADD COLUMN IF NOT EXISTS claimed_on date NOT NULL DEFAULT {TODAY}",
        PARTITIONED.format(**INBOX),
        PARTITIONED.format(**KEYS),
    )
    op.execute(TOTALS)
    for statement in (*FUNCTIONS, *TRIGGERS):
        op.execute(statement)
    op.execute(ANSWERS.format(before="", after=OF_TODAY))


def downgrade() -> None:
    """Put the days together again; it takes time by their rows, and nobody writes meanwhile."""
    op.execute(ANSWERS.format(before=OF_TODAY, after=""))
    op.execute("DROP TRIGGER progression_recounted ON progression")
    op.execute("DROP TRIGGER progression_counted ON progression")
    op.execute("DROP TRIGGER event_inbox_counted ON event_inbox")
    op.execute("DROP FUNCTION count_kills()")
    op.execute("DROP FUNCTION count_inbox()")
    op.execute("DROP TABLE running_totals")
    claim = one_trip.FUNCTIONS["idempotency_claim (bigint, text, bytea)"]
    for table in (INBOX, KEYS):
        op.execute(WHOLE.format(table=table["table"]))
    op.execute("ALTER TABLE idempotency DROP COLUMN claimed_on")
    op.execute(claim.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION"))
