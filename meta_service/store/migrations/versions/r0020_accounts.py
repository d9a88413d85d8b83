"""Names that players chose, several ways to log in to an account, and accounts that were deleted.

An account's first way to log in stays in ``accounts``: the player's id follows from it. Others are rows of
``logins``, which win over it. A deleted player is a row of ``erasures``: nothing that arrives later brings
them back. What has to stay (money, items, what operators did) stays under a random number in the player's
place, and the books let themselves be changed in this one way.

An older release goes on beside it: it reads names and first devices where it always did.
"""

from __future__ import annotations

from alembic import op

from meta_service.store.migrations.locks import briefly

revision = "r0020_accounts"
down_revision: str | None = "r0019_progress_gives"
branch_labels: tuple[str, ...] | None = None
depends_on: str | None = None

TABLES = {
    "display_names": """
        player_id     bigint      PRIMARY KEY,
        display_name  text        NOT NULL,
        taken_at      timestamptz NOT NULL
    """,
    # A name has several keys, each alike for names that are too much alike in one way; a key belongs to one
    # player. Those of a name that was left stay its player's for a while.
    "name_keys": """
        name_key   text        PRIMARY KEY,
        player_id  bigint      NOT NULL,
        left_at    timestamptz
    """,
    # Issuer and subject: of a platform's identity, empty for a device.
    "logins": """
        login_hash  bytea       PRIMARY KEY,
        player_id   bigint      NOT NULL,
        kind        text        NOT NULL CHECK (kind IN ('device', 'platform')),
        issuer      text        NOT NULL DEFAULT '',
        subject     text        NOT NULL DEFAULT '',
        linked_at   timestamptz NOT NULL
    """,
    # The version of what the tables above say of a player: caches keep the newest, other regions look for it.
    "account_changes": """
        player_id  bigint      PRIMARY KEY,
        version    bigint      NOT NULL,
        region     text        NOT NULL,
        stored_at  timestamptz NOT NULL
    """,
    # Pseudonym, name and lists: what the job still needs; null once it is done. Cleaned: regions whose cache
    # is.
    "erasures": """
        player_id    bigint      PRIMARY KEY,
        asked_by     text        NOT NULL,
        asked_at     timestamptz NOT NULL,
        pseudonym    bigint,
        login_name   text,
        logins       bytea[],
        others       bigint[],
        seasons      text[],
        cleaned      text[]      NOT NULL DEFAULT '{}',
        stored_at    timestamptz,
        finished_at  timestamptz,
        swept_at     timestamptz,
        lake_at      timestamptz
    """,
}

INDEXES = (
    "CREATE INDEX name_keys_by_player ON name_keys (player_id)",
    "CREATE INDEX logins_by_player ON logins (player_id)",
    "CREATE INDEX account_changes_by_time ON account_changes (stored_at)",
    "CREATE INDEX erasures_to_do ON erasures (asked_at) WHERE finished_at IS NULL",
    "CREATE INDEX erasures_of_the_lake ON erasures (asked_at) WHERE lake_at IS NULL",
)

BOOKS = {"ledger": "account", "item_movements": "player_id", "operator_actions": "player_id"}
"""Append-only table → the column that names a player."""

# The one change that a book takes: the player of a row becomes the pseudonym that the deletion gave them, and
# the request, by which logs name the player, goes, on both sides of a transfer (whose entries lie next to
# each other, but for those of others who booked at the same moment).
TAKES_PSEUDONYMS = """
    CREATE OR REPLACE FUNCTION book_takes_pseudonyms() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        holder text := TG_ARGV[0];
        was jsonb := to_jsonb(OLD);
        becomes jsonb := to_jsonb(NEW);
    BEGIN
        IF was - holder - 'request_id' = becomes - holder - 'request_id' AND NEW.request_id IS NULL
            AND EXISTS (
                SELECT FROM erasures
                WHERE player_id = (was->>holder)::bigint AND pseudonym = (becomes->>holder)::bigint
            )
        THEN
            RETURN NEW;
        ELSIF TG_TABLE_NAME = 'ledger' AND was - 'request_id' = becomes - 'request_id'
            AND NEW.request_id IS NULL AND EXISTS (
                SELECT FROM ledger AS other JOIN erasures ON other.account IN (erasures.player_id, pseudonym)
                WHERE other.entry_no
                        BETWEEN (was->>'entry_no')::bigint - 64 AND (was->>'entry_no')::bigint
                    AND other.transfer_id = (was->>'transfer_id')::uuid AND pseudonym IS NOT NULL
            )
        THEN
            RETURN NEW;
        END IF;
        RAISE EXCEPTION '% is append-only: write another row', TG_TABLE_NAME;
    END $$
    """

FUNCTIONS = {
    # Makes the next version of a player's account, and returns it (ms, or one more than the last).
    "account_changed (bigint, double precision, text)": """
    CREATE FUNCTION account_changed(player bigint, at_s double precision, from_region text)
    RETURNS bigint LANGUAGE sql AS $$
        INSERT INTO account_changes AS kept (player_id, version, region, stored_at)
        VALUES (player, (at_s * 1000)::bigint, from_region, now())
        ON CONFLICT (player_id) DO UPDATE
            SET version = greatest(kept.version + 1, excluded.version), region = excluded.region,
                stored_at = excluded.stored_at
        RETURNING version
    $$
    """,
    # Gives a player a name, at most once in a while; a name that was left stays theirs for as long.
    "name_take (bigint, text, text[], double precision, double precision, text)": """
    CREATE FUNCTION name_take(
        player bigint, wanted text, wanted_keys text[], every_s double precision, at_s double precision,
        from_region text, OUT refusal text, OUT changeable_at double precision
    ) LANGUAGE plpgsql AS $$
    DECLARE
        present display_names%ROWTYPE;
        one text;
    BEGIN
        PERFORM pg_advisory_xact_lock(player);
        IF EXISTS (SELECT FROM erasures WHERE player_id = player) THEN
            refusal := 'unknown-player';
            RETURN;
        END IF;
        SELECT * INTO present FROM display_names WHERE player_id = player;
        IF FOUND THEN
            changeable_at := extract(epoch FROM present.taken_at)::float8 + every_s;
            IF present.display_name = wanted THEN
                RETURN;  -- done before: the answer was lost
            ELSIF changeable_at > at_s THEN
                refusal := 'name-changed-lately';
                RETURN;
            END IF;
            UPDATE name_keys SET left_at = to_timestamp(at_s) WHERE player_id = player AND left_at IS NULL;
        END IF;
        FOREACH one IN ARRAY wanted_keys LOOP
            INSERT INTO name_keys AS kept (name_key, player_id) VALUES (one, player)
            ON CONFLICT (name_key) DO UPDATE SET player_id = excluded.player_id, left_at = NULL
                WHERE kept.player_id = excluded.player_id
                    OR extract(epoch FROM kept.left_at)::float8 + every_s <= at_s;
            IF NOT FOUND THEN
                refusal := 'name-taken';
                RAISE SQLSTATE 'LD409';
            END IF;
        END LOOP;
        INSERT INTO display_names (player_id, display_name, taken_at)
        VALUES (player, wanted, to_timestamp(at_s))
        ON CONFLICT (player_id) DO UPDATE
            SET display_name = excluded.display_name, taken_at = excluded.taken_at;
        UPDATE accounts SET display_name = wanted WHERE player_id = player;  -- where an older release looks
        changeable_at := extract(epoch FROM to_timestamp(at_s))::float8 + every_s;
        PERFORM account_changed(player, at_s, from_region);
    EXCEPTION WHEN SQLSTATE 'LD409' THEN
        changeable_at := NULL;
    END $$
    """,
    # Lets a device or a platform's identity log in to an account. Of another account it is taken away only
    # where that is asked for: whoever asks has shown that it is theirs. Candidates: the ids that follow from
    # it.
    "login_link (bigint, bytea, bigint[], text, text, text, boolean, bigint, double precision, text)": """
    CREATE FUNCTION login_link(
        player bigint, this_login bytea, candidates bigint[], of_kind text, of_issuer text, of_subject text,
        take boolean, at_most bigint, at_s double precision, from_region text,
        OUT refusal text, OUT former bigint
    ) LANGUAGE plpgsql AS $$
    DECLARE
        present bigint;
        is_first boolean := false;
    BEGIN
        PERFORM pg_advisory_xact_lock(player);
        IF EXISTS (SELECT FROM erasures WHERE player_id = player) THEN
            refusal := 'unknown-player';
            RETURN;
        END IF;
        SELECT player_id INTO present FROM logins WHERE login_hash = this_login FOR UPDATE;
        IF NOT FOUND THEN
            SELECT player_id INTO present FROM accounts
            WHERE player_id = ANY (candidates) AND device_hash = this_login FOR UPDATE;
            is_first := FOUND;
        END IF;
        IF present = player AND (NOT is_first OR of_kind = 'device') THEN
            RETURN;
        ELSIF present <> player THEN
            IF NOT take THEN
                refusal := 'login-taken';
                RETURN;
            END IF;
            former := present;
            PERFORM account_changed(former, at_s, from_region);
            IF is_first THEN
                UPDATE accounts SET device_hash = '' WHERE player_id = former;
            END IF;
        END IF;
        IF (SELECT count(*) FROM logins WHERE player_id = player) >= at_most THEN
            refusal := 'too-many-logins';
            RAISE SQLSTATE 'LD409';
        END IF;
        INSERT INTO logins (login_hash, player_id, kind, issuer, subject, linked_at)
        VALUES (this_login, player, of_kind, of_issuer, of_subject, to_timestamp(at_s))
        ON CONFLICT (login_hash) DO UPDATE
            SET player_id = excluded.player_id, kind = excluded.kind, issuer = excluded.issuer,
                subject = excluded.subject, linked_at = excluded.linked_at;
        PERFORM account_changed(player, at_s, from_region);
    EXCEPTION WHEN SQLSTATE 'LD409' THEN
        former := NULL;
    END $$
    """,
    # Ends a way to log in, but never the last one. It is named by the beginning of its hash.
    "login_unlink (bigint, text, double precision, text)": """
    CREATE FUNCTION login_unlink(
        player bigint, beginning text, at_s double precision, from_region text,
        OUT refusal text, OUT unlinked bytea
    ) LANGUAGE plpgsql AS $$
    DECLARE
        first_login bytea;
    BEGIN
        PERFORM pg_advisory_xact_lock(player);
        SELECT device_hash INTO first_login FROM accounts
        WHERE player_id = player AND device_hash <> '' FOR UPDATE;
        SELECT found.login_hash INTO unlinked FROM (
            SELECT login_hash FROM logins WHERE player_id = player
            UNION SELECT first_login WHERE first_login IS NOT NULL
        ) AS found
        WHERE encode(found.login_hash, 'hex') LIKE beginning || '%' LIMIT 1;
        IF unlinked IS NULL THEN
            refusal := 'unknown-login';
            RETURN;
        END IF;
        IF NOT EXISTS (SELECT FROM credentials WHERE player_id = player) AND NOT EXISTS (
            SELECT FROM logins WHERE player_id = player AND login_hash <> unlinked
        ) AND coalesce(first_login, unlinked) = unlinked THEN
            refusal := 'last-login';
            unlinked := NULL;
            RETURN;
        END IF;
        DELETE FROM logins WHERE login_hash = unlinked;
        UPDATE accounts SET device_hash = '' WHERE player_id = player AND device_hash = unlinked;
        PERFORM account_changed(player, at_s, from_region);
    END $$
    """,
    # Begins a deletion: from here on nobody can log in, and nothing brings the player back. May be repeated.
    "erasure_begin (bigint, bigint, text, text, double precision, text)": """
    CREATE FUNCTION erasure_begin(
        player bigint, new_pseudonym bigint, who text, why text, at_s double precision, for_request text,
        OUT begun boolean
    ) LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_advisory_xact_lock(player);
        INSERT INTO erasures (player_id, asked_by, asked_at, pseudonym, login_name, logins, others, seasons)
        VALUES (
            player, who, to_timestamp(at_s), new_pseudonym,
            (SELECT name FROM credentials WHERE player_id = player),
            ARRAY(
                SELECT login_hash FROM logins WHERE player_id = player
                UNION SELECT device_hash FROM accounts WHERE player_id = player
            ),
            ARRAY(
                SELECT CASE WHEN low_id = player THEN high_id ELSE low_id END FROM friendships
                WHERE low_id = player OR high_id = player
                UNION SELECT player_id FROM blocks WHERE blocked_id = player
                UNION SELECT player_id FROM declined_requests WHERE asker_id = player
            ),
            ARRAY(SELECT season FROM season_records WHERE player_id = player)
        )
        ON CONFLICT (player_id) DO NOTHING;
        begun := FOUND;
        IF begun THEN
            DELETE FROM credentials WHERE player_id = player;
            DELETE FROM logins WHERE player_id = player;
            UPDATE accounts SET device_hash = '' WHERE player_id = player;
            DELETE FROM name_keys WHERE player_id = player;
            UPDATE sessions SET state = 'revoked', version = version + 1, stored_at = now()
            WHERE player_id = player;
            IF who LIKE 'operator:%' THEN
                PERFORM audit_note(split_part(who, ':', 2), 'delete', player, why, '{}', at_s, for_request);
            END IF;
        END IF;
    END $$
    """,
}


def upgrade() -> None:
    """Let the books take pseudonyms; create tables and functions."""
    briefly(TAKES_PSEUDONYMS)
    for book, holder in BOOKS.items():
        # The narrow way first, then the wide one is left: at no moment is a book open.
        briefly(
            f"CREATE OR REPLACE TRIGGER {book}_takes_pseudonyms BEFORE UPDATE ON {book}"
            f" FOR EACH ROW EXECUTE FUNCTION book_takes_pseudonyms('{holder}')",
            _append_only(book, "DELETE OR TRUNCATE"),
        )
    for name, columns in TABLES.items():
        op.execute(f"CREATE TABLE {name} ({columns})")
    for index in INDEXES:
        op.execute(index)
    for definition in FUNCTIONS.values():
        op.execute(definition)


def downgrade() -> None:
    """Drop names' keys, linked devices and platforms, and who was deleted: names may be taken twice, players
    log in by their first device alone, and a deletion that is not finished stays so.
    """
    for book in BOOKS:
        briefly(
            _append_only(book, "UPDATE OR DELETE OR TRUNCATE"),
            f"DROP TRIGGER IF EXISTS {book}_takes_pseudonyms ON {book}",
        )
    for signature in reversed(FUNCTIONS):
        op.execute(f"DROP FUNCTION {signature}")
    op.execute("DROP FUNCTION book_takes_pseudonyms()")
    for name in reversed(TABLES):
        op.execute(f"DROP TABLE {name}")


def _append_only(book: str, changes: str) -> str:
    guard = "ledger_is_append_only" if book == "ledger" else "book_is_append_only"
    return (
        f"CREATE OR REPLACE TRIGGER {book}_append_only BEFORE {changes} ON {book}"
        f" FOR EACH STATEMENT EXECUTE FUNCTION {guard}()"
    )
