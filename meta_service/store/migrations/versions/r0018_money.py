"""Who moved money and items, and what they own in which version.

The ledger says who made a transfer and for which item. Items get a book of their own: what a player owns is
the sum of the movements of it. Old rows of the inventory get an opening row each: those that are there when
the step runs in batches, and what an earlier release writes meanwhile at its next change (version 0 marks a
row that was not opened). Grants and debits, of money and of items, are one function each, with the operator's
note in the same transaction.

An older release goes on beside it: the functions that it calls keep their names and arguments. The rows are
opened once they are in force, each page in a transaction of its own; so everything here may be done twice.
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import text

from meta_service.store.migrations.locks import briefly, constraint
from meta_service.store.migrations.versions import r0014_one_trip as one_trip

revision = "r0018_money"
down_revision: str | None = "r0017_event_gaps"
branch_labels: tuple[str, ...] | None = None
depends_on: str | None = None

OPENED_AT_ONCE = 1000  # rows: a purchase that waits for one of them waits some 20 ms
EARLIER_CALLS_TURNS = 100  # of 0.1 s, for purchases that began before: no request waits longer than 4 s

COLUMNS = (
    "ALTER TABLE ledger ADD COLUMN IF NOT EXISTS actor text NOT NULL DEFAULT '',"
    " ADD COLUMN IF NOT EXISTS item_id text, ADD COLUMN IF NOT EXISTS quantity bigint",
    # Counts the changes, so that a cache can tell which of two quantities is the newer.
    "ALTER TABLE inventory ADD COLUMN IF NOT EXISTS version bigint NOT NULL DEFAULT 0",
    # Without a price: not sold, only given. A price of 0 is free: everybody has it, taken or not.
    "ALTER TABLE catalogue ALTER COLUMN price DROP NOT NULL, ALTER COLUMN currency DROP NOT NULL",
)
SOLD_AT_A_PRICE = "CHECK (NOT on_sale OR price IS NOT NULL AND currency IS NOT NULL)"

TABLES = {
    # As the ledger is for money. Positive: received; negative: given back or taken.
    "item_movements": """
        entry_no     bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
        transfer_id  uuid        NOT NULL,
        player_id    bigint      NOT NULL,
        item_id      text        NOT NULL,
        quantity     bigint      NOT NULL CHECK (quantity <> 0),
        reason       text        NOT NULL,
        actor        text        NOT NULL DEFAULT '',
        booked_at    timestamptz NOT NULL,
        request_id   text
    """,
    # What operators did, to whom and why. Without a player: to the backend as a whole.
    "operator_actions": """
        action_no   bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
        operator    text        NOT NULL,
        action      text        NOT NULL,
        player_id   bigint,
        reason      text        NOT NULL,
        detail      jsonb       NOT NULL,
        done_at     timestamptz NOT NULL,
        request_id  text
    """,
    # Money that may be granted although nothing on sale costs it.
    "currencies": "currency text PRIMARY KEY",
}

CHANGES = (
    "CREATE INDEX IF NOT EXISTS item_movements_by_player ON item_movements (player_id, entry_no)",
    "CREATE INDEX IF NOT EXISTS operator_actions_by_player ON operator_actions (player_id, action_no)",
    "CREATE INDEX IF NOT EXISTS operator_actions_by_operator ON operator_actions (operator, action_no)",
    """
    CREATE OR REPLACE FUNCTION book_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION '% is append-only: write another row', TG_TABLE_NAME;
    END $$
    """,
    """
    CREATE OR REPLACE TRIGGER item_movements_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON item_movements
        FOR EACH STATEMENT EXECUTE FUNCTION book_is_append_only()
    """,
    """
    CREATE OR REPLACE TRIGGER operator_actions_append_only
        BEFORE UPDATE OR DELETE OR TRUNCATE ON operator_actions
        FOR EACH STATEMENT EXECUTE FUNCTION book_is_append_only()
    """,
    "INSERT INTO currencies SELECT currency FROM catalogue WHERE currency IS NOT NULL"
    " UNION SELECT currency FROM wallets ON CONFLICT DO NOTHING",
)

# All lock rows in one order: the key, the stock, the wallet, the inventory; a refund its purchase first.
FUNCTIONS = {
    # Moves money between a player (positive: towards them) and a house account. Null, and nothing written:
    # the wallet holds less, or would hold more than a bigint.
    "ledger_move (uuid, bigint, bigint, text, bigint, text, text, text, bigint, double precision, text)": """
    CREATE OR REPLACE FUNCTION ledger_move(
        this_transfer uuid, player bigint, house bigint, money text, change bigint, why text, who text,
        item text, pieces bigint, at_s double precision, for_request text,
        OUT new_balance bigint, OUT new_version bigint
    ) LANGUAGE plpgsql AS $$
    BEGIN
        IF change >= 0 THEN
            INSERT INTO wallets AS held (player_id, currency, balance) VALUES (player, money, change)
            ON CONFLICT (player_id, currency) DO UPDATE
                SET balance = held.balance + excluded.balance, version = held.version + 1
                WHERE held.balance <= 9223372036854775807 - excluded.balance
            RETURNING balance, version INTO new_balance, new_version;
        ELSE
            -- Checks and takes at once: a second one waits for the row and sees the new balance.
            UPDATE wallets SET balance = balance + change, version = version + 1
            WHERE player_id = player AND currency = money AND balance + change >= 0
            RETURNING balance, version INTO new_balance, new_version;
        END IF;
        IF FOUND AND change <> 0 THEN
            INSERT INTO ledger (transfer_id, account, currency, amount, reason, booked_at, request_id,
                actor, item_id, quantity)
            VALUES (this_transfer, player, money, change, why, to_timestamp(at_s), for_request,
                    who, item, pieces),
                (this_transfer, house, money, -change, why, to_timestamp(at_s), for_request,
                    who, item, pieces);
        END IF;
    END $$
    """,
    # Moves pieces of an item to a player (positive) or from them. Owned is null, and nothing written, where
    # the player has fewer, or where there is no such item to give. Giving stops at the item's limit: moved
    # says how many came.
    "items_move (uuid, bigint, text, bigint, text, text, double precision, text)": """
    CREATE OR REPLACE FUNCTION items_move(
        this_transfer uuid, player bigint, item text, pieces bigint, why text, who text,
        at_s double precision, for_request text,
        OUT owned bigint, OUT new_version bigint, OUT moved bigint
    ) LANGUAGE plpgsql AS $$
    DECLARE
        at_most bigint;
        held record;
        unopened bigint;
    BEGIN
        -- As nearly always: it fits, in one statement.
        IF pieces > 0 THEN
            SELECT max_owned INTO at_most FROM catalogue WHERE item_id = item;
            INSERT INTO inventory AS kept (player_id, item_id, quantity, acquired_at, version)
            SELECT player, item, pieces, to_timestamp(at_s), 1 WHERE pieces <= at_most
            ON CONFLICT (player_id, item_id) DO UPDATE
                SET quantity = kept.quantity + excluded.quantity, version = kept.version + 1,
                    acquired_at = CASE WHEN kept.quantity = 0 THEN excluded.acquired_at
                        ELSE kept.acquired_at END
                WHERE kept.version > 0 AND kept.quantity + excluded.quantity <= at_most
            RETURNING quantity, version INTO owned, new_version;
        ELSE
            UPDATE inventory SET quantity = quantity + pieces, version = version + 1
            WHERE player_id = player AND item_id = item AND version > 0 AND pieces < 0
                AND quantity + pieces >= 0
            RETURNING quantity, version INTO owned, new_version;
        END IF;
        IF FOUND THEN
            moved := pieces;
            INSERT INTO item_movements
                (transfer_id, player_id, item_id, quantity, reason, actor, booked_at, request_id)
            VALUES (this_transfer, player, item, pieces, why, who, to_timestamp(at_s), for_request);
            RETURN;
        END IF;
        IF pieces > 0 AND at_most IS NOT NULL THEN
            -- More than fits: there is a row from here on.
            INSERT INTO inventory (player_id, item_id, quantity, acquired_at, version)
            VALUES (player, item, 0, to_timestamp(at_s), 1) ON CONFLICT DO NOTHING;
        END IF;
        SELECT quantity, version INTO held FROM inventory
        WHERE player_id = player AND item_id = item FOR UPDATE;
        IF NOT FOUND OR pieces > 0 AND at_most IS NULL THEN
            RETURN;
        END IF;
        IF held.quantity + pieces < 0 THEN
            RETURN;
        END IF;
        IF held.version = 0 THEN
            SELECT held.quantity - coalesce(sum(quantity), 0) INTO unopened FROM item_movements
            WHERE player_id = player AND item_id = item;
            IF unopened <> 0 THEN
                INSERT INTO item_movements (transfer_id, player_id, item_id, quantity, reason, booked_at)
                VALUES (gen_random_uuid(), player, item, unopened, 'opening balance', to_timestamp(at_s));
            END IF;
        END IF;
        moved := CASE WHEN pieces < 0 THEN pieces
            ELSE least(pieces, greatest(at_most - held.quantity, 0)) END;
        UPDATE inventory SET quantity = quantity + moved,
            version = version + CASE WHEN moved <> 0 OR version = 0 THEN 1 ELSE 0 END,
            acquired_at = CASE WHEN quantity = 0 AND moved > 0 THEN to_timestamp(at_s) ELSE acquired_at END
        WHERE player_id = player AND item_id = item RETURNING quantity, version INTO owned, new_version;
        IF moved <> 0 THEN
            INSERT INTO item_movements
                (transfer_id, player_id, item_id, quantity, reason, actor, booked_at, request_id)
            VALUES (this_transfer, player, item, moved, why, who, to_timestamp(at_s), for_request);
        END IF;
    END $$
    """,
    # Writes down what an operator did, in the transaction that does it; returns the note's number.
    "audit_note (text, text, bigint, text, jsonb, double precision, text)": """
    CREATE OR REPLACE FUNCTION audit_note(
        by_operator text, what text, player bigint, why text, more jsonb, at_s double precision,
        for_request text
    ) RETURNS bigint LANGUAGE sql AS $$
        INSERT INTO operator_actions (operator, action, player_id, reason, detail, done_at, request_id)
        VALUES (by_operator, what, player, why, more, to_timestamp(at_s), for_request)
        RETURNING action_no
    $$
    """,
    # Puts money into a wallet, or takes it out of it. Noted: the name of the operator's action; null: a
    # service asks. Known: the caller has seen the player, whose account may be on its way to the store.
    "shop_credit (bigint, text, bytea, uuid, bigint, text, bigint, text, text, text, boolean,"
    " double precision, text)": """
    CREATE OR REPLACE FUNCTION shop_credit(
        of_owner bigint, under_key text, asked bytea, new_transfer uuid, player bigint, money text,
        change bigint, why text, who text, noted text, known boolean, at_s double precision, for_request text,
        OUT refusal text, OUT detail text, OUT done json
    ) LANGUAGE plpgsql AS $$
    DECLARE
        claimed record;
        wallet record;
    BEGIN
        SELECT * INTO claimed FROM idempotency_claim(of_owner, under_key, asked);
        refusal := claimed.refusal;
        done := claimed.earlier;
        IF NOT claimed.fresh THEN
            RETURN;
        END IF;
        IF NOT known AND NOT EXISTS (SELECT FROM accounts WHERE player_id = player) THEN
            refusal := 'unknown-player';
            detail := format('there is no player %s', player);
            RAISE SQLSTATE 'LD409';
        END IF;
        IF NOT EXISTS (SELECT FROM currencies WHERE currency = money)
            AND NOT EXISTS (SELECT FROM catalogue WHERE currency = money)
        THEN
            refusal := 'unknown-currency';
            detail := format('there is no currency %s', money);
            RAISE SQLSTATE 'LD409';
        END IF;
        SELECT * INTO wallet
        FROM ledger_move(new_transfer, player, 0, money, change, why, who, NULL, NULL, at_s, for_request);
        IF wallet.new_balance IS NULL THEN
            refusal := CASE WHEN change < 0 THEN 'insufficient-funds' ELSE 'wallet-full' END;
            detail := CASE WHEN change < 0 THEN format('the wallet holds less than %s %s', -change, money)
                ELSE format('the wallet cannot hold %s %s more', change, money) END;
            RAISE SQLSTATE 'LD409';
        END IF;
        done := json_build_object(
            'transfer_id', new_transfer, 'player_id', player::text, 'currency', money, 'amount', change,
            'balance', wallet.new_balance, 'version', wallet.new_version
        );
        IF noted IS NOT NULL THEN
            PERFORM audit_note(
                substr(who, length('operator:') + 1), noted, player, why,
                done::jsonb - 'version' - 'player_id', at_s, for_request
            );
        END IF;
        UPDATE idempotency SET answer = done WHERE owner = of_owner AND key = under_key;
    EXCEPTION WHEN SQLSTATE 'LD409' THEN
        NULL;  -- undone, the key too: it may be used again
    END $$
    """,
    # Gives pieces of an item, or takes them; as shop_credit. What does not fit is refused whole.
    "shop_items (bigint, text, bytea, uuid, bigint, text, bigint, text, text, text, boolean,"
    " double precision, text)": """
    CREATE OR REPLACE FUNCTION shop_items(
        of_owner bigint, under_key text, asked bytea, new_transfer uuid, player bigint, wanted text,
        pieces bigint, why text, who text, noted text, known boolean, at_s double precision, for_request text,
        OUT refusal text, OUT detail text, OUT done json
    ) LANGUAGE plpgsql AS $$
    DECLARE
        claimed record;
        at_most bigint;
        now_has record;
    BEGIN
        SELECT * INTO claimed FROM idempotency_claim(of_owner, under_key, asked);
        refusal := claimed.refusal;
        done := claimed.earlier;
        IF NOT claimed.fresh THEN
            RETURN;
        END IF;
        IF NOT known AND NOT EXISTS (SELECT FROM accounts WHERE player_id = player) THEN
            refusal := 'unknown-player';
            detail := format('there is no player %s', player);
            RAISE SQLSTATE 'LD409';
        END IF;
        SELECT max_owned INTO at_most FROM catalogue WHERE item_id = wanted;
        IF NOT FOUND THEN
            refusal := 'unknown-item';
            detail := format('there is no item %s', wanted);
            RAISE SQLSTATE 'LD409';
        END IF;
        SELECT * INTO now_has
        FROM items_move(new_transfer, player, wanted, pieces, why, who, at_s, for_request);
        IF now_has.owned IS NULL THEN
            refusal := 'too-few-items';
            detail := format('the player has fewer than %s of %s', -pieces, wanted);
            RAISE SQLSTATE 'LD409';
        ELSIF now_has.moved <> pieces THEN
            refusal := 'ownership-limit';
            detail := format('one player may own %s of %s', at_most, wanted);
            RAISE SQLSTATE 'LD409';
        END IF;
        done := json_build_object(
            'transfer_id', new_transfer, 'player_id', player::text, 'item_id', wanted, 'quantity', pieces,
            'owned', now_has.owned, 'owned_version', now_has.new_version
        );
        IF noted IS NOT NULL THEN
            PERFORM audit_note(
                substr(who, length('operator:') + 1), noted, player, why,
                done::jsonb - 'owned_version' - 'player_id', at_s, for_request
            );
        END IF;
        UPDATE idempotency SET answer = done WHERE owner = of_owner AND key = under_key;
    EXCEPTION WHEN SQLSTATE 'LD409' THEN
        NULL;
    END $$
    """,
    # Without asker a service or an operator asks: whosever it is, and whatever the time.
    "shop_give_back (uuid, bigint, uuid, text, double precision, text)": """
    CREATE OR REPLACE FUNCTION shop_give_back(
        this_purchase uuid, asker bigint, new_transfer uuid, who text, at_s double precision,
        for_request text, OUT refusal text, OUT detail text, OUT done json
    ) LANGUAGE plpgsql AS $$
    DECLARE
        bought purchases%ROWTYPE;
        for_s bigint;
        wallet record;
        now_has record;
    BEGIN
        SELECT * INTO bought FROM purchases WHERE purchase_id = this_purchase FOR UPDATE;
        IF NOT FOUND OR asker <> bought.player_id THEN
            refusal := 'unknown-purchase';
            detail := format('there is no purchase %s of yours', this_purchase);
            RETURN;
        END IF;
        IF bought.refunded_at IS NULL THEN
            UPDATE catalogue SET stock = stock + bought.quantity
            WHERE item_id = bought.item_id AND stock IS NOT NULL RETURNING refundable_s INTO for_s;
            IF NOT FOUND THEN
                SELECT refundable_s INTO for_s FROM catalogue WHERE item_id = bought.item_id;
            END IF;
            IF asker IS NOT NULL
                AND at_s > extract(epoch FROM bought.purchased_at)::float8 + coalesce(for_s, 0)
            THEN
                refusal := 'not-refundable';
                detail := 'the time for giving this back is over';
                RAISE SQLSTATE 'LD409';
            END IF;
        END IF;
        IF bought.refunded_at IS NULL AND bought.paid > 0 THEN
            SELECT * INTO wallet FROM ledger_move(
                new_transfer, bought.player_id, -1, bought.currency, bought.paid,
                'refunded ' || bought.item_id, who, bought.item_id, bought.quantity, at_s, for_request
            );
            IF wallet.new_balance IS NULL THEN
                refusal := 'wallet-full';
                detail := format('the wallet cannot hold %s %s more', bought.paid, bought.currency);
                RAISE SQLSTATE 'LD409';
            END IF;
        ELSE
            SELECT coalesce(max(balance), 0) AS new_balance, coalesce(max(version), 0) AS new_version
            INTO wallet
            FROM wallets WHERE player_id = bought.player_id AND currency = bought.currency;
        END IF;
        IF bought.refunded_at IS NULL THEN
            SELECT * INTO now_has FROM items_move(
                new_transfer, bought.player_id, bought.item_id, -bought.quantity,
                'refunded ' || bought.item_id, who, at_s, for_request
            );
            IF now_has.owned IS NULL THEN
                refusal := 'not-refundable';
                detail := format(
                    'fewer than %s of %s are left to give back', bought.quantity, bought.item_id
                );
                RAISE SQLSTATE 'LD409';
            END IF;
            UPDATE purchases SET refunded_at = to_timestamp(at_s) WHERE purchase_id = this_purchase;
        ELSE
            SELECT coalesce(max(quantity), 0) AS owned, coalesce(max(version), 0) AS new_version INTO now_has
            FROM inventory WHERE player_id = bought.player_id AND item_id = bought.item_id;
        END IF;
        done := json_build_object(
            'purchase_id', this_purchase, 'player_id', bought.player_id::text, 'currency', bought.currency,
            'refunded', bought.paid, 'balance', wallet.new_balance, 'version', wallet.new_version,
            'item_id', bought.item_id, 'owned', now_has.owned, 'owned_version', now_has.new_version
        );
    EXCEPTION WHEN SQLSTATE 'LD409' THEN
        NULL;
    END $$
    """,
}

# Functions of the release before, under the names and with the arguments that it calls; shop_buy is ours too.
REWRITTEN = (
    """
    CREATE OR REPLACE FUNCTION ledger_transfer(
        this_transfer uuid, player bigint, house bigint, money text, change bigint, why text,
        at_s double precision, for_request text, OUT new_balance bigint, OUT new_version bigint
    ) LANGUAGE sql AS $$
        SELECT new_balance, new_version FROM ledger_move(
            this_transfer, player, house, money, change, why, '', NULL, NULL, at_s, for_request
        )
    $$
    """,
    """
    CREATE OR REPLACE FUNCTION shop_buy(
        buyer bigint, under_key text, asked bytea, new_purchase uuid, wanted text, pieces bigint,
        seen_price bigint, at_s double precision, from_region text, for_request text,
        OUT refusal text, OUT detail text, OUT done json
    ) LANGUAGE plpgsql AS $$
    DECLARE
        claimed record;
        item catalogue%ROWTYPE;
        paid_now bigint;
        wallet record;
        now_has record;
    BEGIN
        SELECT * INTO claimed FROM idempotency_claim(buyer, under_key, asked);
        refusal := claimed.refusal;
        done := claimed.earlier;
        IF NOT claimed.fresh THEN
            RETURN;
        END IF;
        SELECT * INTO item FROM catalogue WHERE item_id = wanted AND on_sale;
        IF NOT FOUND THEN
            refusal := 'unknown-item';
            detail := format('%s is not for sale', wanted);
            RAISE SQLSTATE 'LD409';
        END IF;
        IF item.stock IS NOT NULL THEN
            -- Read anew: a purchase that waited for the row must not pay an older price.
            UPDATE catalogue SET stock = stock - pieces
            WHERE item_id = wanted AND on_sale AND stock >= pieces RETURNING * INTO item;
            IF NOT FOUND THEN
                refusal := 'sold-out';
                detail := format('fewer than %s of %s are left', pieces, wanted);
                RAISE SQLSTATE 'LD409';
            END IF;
        END IF;
        IF seen_price <> item.price THEN
            refusal := 'price-changed';
            detail := format('%s costs %s %s now', wanted, item.price, item.currency);
            RAISE SQLSTATE 'LD409';
        END IF;
        paid_now := item.price * pieces;
        IF paid_now > 0 THEN
            SELECT * INTO wallet FROM ledger_move(
                new_purchase, buyer, -1, item.currency, -paid_now, 'bought ' || wanted, 'player', wanted,
                pieces, at_s, for_request
            );
            IF wallet.new_balance IS NULL THEN
                refusal := 'insufficient-funds';
                detail := format('the wallet holds less than %s %s', paid_now, item.currency);
                RAISE SQLSTATE 'LD409';
            END IF;
        ELSE
            SELECT coalesce(max(balance), 0) AS new_balance, coalesce(max(version), 0) AS new_version
            INTO wallet
            FROM wallets WHERE player_id = buyer AND currency = item.currency;
        END IF;
        SELECT * INTO now_has FROM items_move(
            new_purchase, buyer, wanted, pieces, 'bought ' || wanted, 'player', at_s, for_request
        );
        IF now_has.moved <> pieces THEN
            refusal := 'ownership-limit';
            detail := format('one player may own %s of %s', item.max_owned, wanted);
            RAISE SQLSTATE 'LD409';
        END IF;
        INSERT INTO purchases (purchase_id, player_id, item_id, quantity, currency, paid, purchased_at)
        VALUES (new_purchase, buyer, wanted, pieces, item.currency, paid_now, to_timestamp(at_s));
        -- Makes an event of the purchase after the commit, and only if it is committed; see r0011_outbox.
        INSERT INTO purchase_outbox (purchase_id, region) VALUES (new_purchase, from_region);
        done := json_build_object(
            'purchase_id', new_purchase, 'item_id', wanted, 'quantity', pieces, 'currency', item.currency,
            'paid', paid_now, 'balance', wallet.new_balance, 'version', wallet.new_version,
            'owned', now_has.owned, 'owned_version', now_has.new_version, 'purchased_at', at_s
        );
        UPDATE idempotency SET answer = done WHERE owner = buyer AND key = under_key;
    EXCEPTION WHEN SQLSTATE 'LD409' THEN
        NULL;  -- undone, the key too: it may be used again
    END $$
    """,
    # As it was, an overflow included, which that release answers with an error of its own.
    """
    CREATE OR REPLACE FUNCTION shop_grant(
        of_owner bigint, under_key text, asked bytea, new_transfer uuid, player bigint, money text,
        given bigint, why text, at_s double precision, for_request text,
        OUT refusal text, OUT detail text, OUT done json
    ) LANGUAGE plpgsql AS $$
    DECLARE
        claimed record;
        wallet record;
    BEGIN
        SELECT * INTO claimed FROM idempotency_claim(of_owner, under_key, asked);
        refusal := claimed.refusal;
        done := claimed.earlier;
        IF NOT claimed.fresh THEN
            RETURN;
        END IF;
        SELECT * INTO wallet
        FROM ledger_transfer(new_transfer, player, 0, money, given, why, at_s, for_request);
        IF wallet.new_balance IS NULL THEN
            RAISE numeric_value_out_of_range USING MESSAGE = 'the wallet cannot hold as much';
        END IF;
        done := json_build_object(
            'transfer_id', new_transfer, 'player_id', player::text, 'currency', money, 'amount', given,
            'balance', wallet.new_balance, 'version', wallet.new_version
        );
        UPDATE idempotency SET answer = done WHERE owner = of_owner AND key = under_key;
    END $$
    """,
    """
    CREATE OR REPLACE FUNCTION shop_refund(
        this_purchase uuid, asker bigint, new_transfer uuid, at_s double precision, for_request text,
        OUT refusal text, OUT detail text, OUT done json
    ) LANGUAGE sql AS $$
        SELECT refusal, detail, done FROM shop_give_back(
            this_purchase, asker, new_transfer, CASE WHEN asker IS NULL THEN '' ELSE 'player' END, at_s,
            for_request
        )
    $$
    """,
)

# A call that began with a function's old text does not book; it is not to meet a row that is opened.
EARLIER_CALLS_ARE_OVER = "SELECT pg_snapshot_xmin(pg_current_snapshot()) >= CAST(:mine AS xid8)"

# A page of the inventory, in the order of its key, gets its opening rows. Rows that somebody changes just now
# are skipped: that change opens them.
OPEN_PAGE = """
    WITH page AS MATERIALIZED (
        SELECT player_id, item_id, quantity, acquired_at, version FROM inventory
        WHERE (player_id, item_id) > (:player_id, :item_id)
        ORDER BY player_id, item_id LIMIT :at_once FOR UPDATE SKIP LOCKED
    ), opened AS (
        UPDATE inventory AS held SET version = 1 FROM page
        WHERE held.player_id = page.player_id AND held.item_id = page.item_id AND held.version = 0
        RETURNING held.player_id, held.item_id, held.quantity, held.acquired_at
    ), booked AS (
        INSERT INTO item_movements (transfer_id, player_id, item_id, quantity, reason, booked_at)
        SELECT gen_random_uuid(), player_id, item_id, quantity, 'opening balance', acquired_at
        FROM opened WHERE quantity <> 0
    )
    SELECT player_id, item_id FROM page ORDER BY player_id DESC, item_id DESC LIMIT 1
"""


def upgrade() -> None:
    """Create columns, tables and functions; open the book of items."""
    briefly(*COLUMNS)
    constraint("catalogue", "catalogue_sold_at_a_price", SOLD_AT_A_PRICE)
    for name, columns in TABLES.items():
        op.execute(f"CREATE TABLE IF NOT EXISTS {name} ({columns})")
    for change in CHANGES:
        op.execute(change)
    for definition in FUNCTIONS.values():
        op.execute(definition)
    for definition in REWRITTEN:
        op.execute(definition)
    _open_the_book()


def _open_the_book() -> None:
    """Give every row of the inventory that has none its opening row."""
    page = {"player_id": -(2**63), "item_id": "", "at_once": OPENED_AT_ONCE}
    with op.get_context().autocommit_block():  # commits the functions: a call from now on books its change
        mine = op.get_bind().scalar(text("SELECT pg_current_xact_id()"))
        for _ in range(EARLIER_CALLS_TURNS):
            if op.get_bind().scalar(text(EARLIER_CALLS_ARE_OVER), {"mine": mine}):
                break
            op.get_bind().execute(text("SELECT pg_sleep(0.1)"))
        while (last := op.get_bind().execute(text(OPEN_PAGE), page).one_or_none()) is not None:
            page |= {"player_id": last.player_id, "item_id": last.item_id}


def downgrade() -> None:
    """Drop them: who moved what, the movements of items, operators' notes, and items that are only given."""
    op.execute("DELETE FROM catalogue WHERE price IS NULL OR currency IS NULL")
    briefly(
        "ALTER TABLE catalogue DROP CONSTRAINT IF EXISTS catalogue_sold_at_a_price,"
        " ALTER COLUMN price SET NOT NULL, ALTER COLUMN currency SET NOT NULL",
    )
    for definition in one_trip.FUNCTIONS.values():
        op.execute(definition.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION", 1))
    for signature in reversed(FUNCTIONS):
        op.execute(f"DROP FUNCTION IF EXISTS {signature}")
    for name in reversed(TABLES):
        op.execute(f"DROP TABLE IF EXISTS {name}")
    op.execute("DROP FUNCTION IF EXISTS book_is_append_only()")
    briefly(
        "ALTER TABLE inventory DROP COLUMN IF EXISTS version",
        "ALTER TABLE ledger DROP COLUMN IF EXISTS actor, DROP COLUMN IF EXISTS item_id,"
        " DROP COLUMN IF EXISTS quantity",
    )
