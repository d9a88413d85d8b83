"""Wallets, the ledger behind them, the catalogue, purchases and what players own.

Money is the one state with a strict owner: every table here is written in PostgreSQL transactions alone.
The database itself refuses a negative wallet, a ledger entry that is changed or deleted, and a transfer
whose entries do not add up to nothing.
"""

from __future__ import annotations

from alembic import op

revision = "r0002_money"
down_revision: str | None = "r0001"
branch_labels: tuple[str, ...] | None = None
depends_on: str | None = None

TABLES = {
    # Stock null: unlimited, and then buying the item locks nothing that two players share.
    "catalogue": """
        item_id       text    PRIMARY KEY,
        kind          text    NOT NULL,
        title         text    NOT NULL,
        currency      text    NOT NULL,
        price         bigint  NOT NULL CHECK (price >= 0),
        stock         bigint  CHECK (stock >= 0),
        most_owned    bigint  NOT NULL CHECK (most_owned >= 1),
        refundable_s  bigint  NOT NULL CHECK (refundable_s >= 0),
        on_sale       boolean NOT NULL
    """,
    # The version counts the changes, so that a cache can tell which of two balances is the newer.
    "wallets": """
        player_id  bigint NOT NULL CHECK (player_id > 0),
        currency   text   NOT NULL,
        balance    bigint NOT NULL CHECK (balance >= 0),
        version    bigint NOT NULL DEFAULT 1,
        PRIMARY KEY (player_id, currency)
    """,
    # Two entries a transfer. Accounts: a player's id, or one of the house's, which are not positive.
    "ledger": """
        entry_no     bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
        transfer_id  uuid        NOT NULL,
        account      bigint      NOT NULL,
        currency     text        NOT NULL,
        amount       bigint      NOT NULL CHECK (amount <> 0),
        reason       text        NOT NULL,
        booked_at    timestamptz NOT NULL
    """,
    "inventory": """
        player_id    bigint      NOT NULL,
        item_id      text        NOT NULL,
        quantity     bigint      NOT NULL CHECK (quantity >= 0),
        acquired_at  timestamptz NOT NULL,
        PRIMARY KEY (player_id, item_id)
    """,
    "purchases": """
        purchase_id   uuid        PRIMARY KEY,
        player_id     bigint      NOT NULL,
        item_id       text        NOT NULL,
        quantity      bigint      NOT NULL CHECK (quantity >= 1),
        currency      text        NOT NULL,
        paid          bigint      NOT NULL CHECK (paid >= 0),
        purchased_at  timestamptz NOT NULL,
        refunded_at   timestamptz
    """,
    # Owner: the player who asks, or 0 for services. Kept for ever: a repeat may come at any time.
    "idempotency": """
        owner         bigint NOT NULL,
        key           text   NOT NULL,
        request_hash  bytea  NOT NULL,
        answer        json,
        PRIMARY KEY (owner, key)
    """,
}

GUARDS = (
    """
    CREATE FUNCTION ledger_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'the ledger is append-only: book a transfer the other way';
    END $$
    """,
    """
    CREATE TRIGGER ledger_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger
        FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_append_only()
    """,
    # Both entries of a transfer are written by one statement, so a look at each statement's rows is enough.
    """
    CREATE FUNCTION ledger_is_balanced() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF EXISTS (
            SELECT FROM booked GROUP BY transfer_id, currency HAVING sum(amount) <> 0
        ) THEN
            RAISE EXCEPTION 'a transfer''s entries must add up to nothing';
        END IF;
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER ledger_balanced AFTER INSERT ON ledger REFERENCING NEW TABLE AS booked
        FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_balanced()
    """,
)


def upgrade() -> None:
    """Create the tables, and the triggers that guard the ledger."""
    for name, columns in TABLES.items():
        op.execute(f"CREATE TABLE {name} ({columns})")
    op.execute("CREATE INDEX ledger_by_account ON ledger (account, entry_no)")
    op.execute("CREATE INDEX purchases_by_player ON purchases (player_id, purchased_at)")
    for guard in GUARDS:
        op.execute(guard)


def downgrade() -> None:
    """Drop them."""
    for name in reversed(TABLES):
        op.execute(f"DROP TABLE {name}")
    op.execute("DROP FUNCTION ledger_is_balanced()")
    op.execute("DROP FUNCTION ledger_is_append_only()")
