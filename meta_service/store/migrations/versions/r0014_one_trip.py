"""Purchases, grants, refunds and requests for friendship as one function each: one round trip to the store.

As a transaction of statements a purchase was ten round trips, which a region 200 ms from the store could not
make within two seconds. A function is the same transaction with one. What it refuses it undoes (a block with
an exception handler) and answers as data, so a refusal costs no round trip either and no line in the store's
log. Beside them: which session is the later one, the epochs of the regions' caches, and indexes for the
progress that rewards publishes again after a restart.
"""

from __future__ import annotations

from alembic import op

from meta_service.store.migrations.locks import briefly, drop_index_concurrently, index_concurrently

revision = "r0014_one_trip"
down_revision: str | None = "r0013_closed_matches"
branch_labels: tuple[str, ...] | None = None
depends_on: str | None = None

# When a session was opened (ms), for telling which of two is the later one; 0: by an earlier version.
_OPENED = "ALTER TABLE sessions ADD COLUMN IF NOT EXISTS opened bigint NOT NULL DEFAULT 0"

# The life of a region's cache: another number for each time that another server, or older data, was seen.
_CACHE_EPOCHS = """
    CREATE TABLE cache_epochs (
        region      text        PRIMARY KEY,
        epoch       bigint      NOT NULL,
        mark        text        NOT NULL,
        noticed_at  timestamptz NOT NULL
    )
"""

# All lock rows in one order: the key, the stock, the wallet, the inventory; a refund its purchase first.
FUNCTIONS = {
    # Moves money between a player (positive: towards them) and a house account; null: the wallet holds less.
    "ledger_transfer (uuid, bigint, bigint, text, bigint, text, double precision, text)": """
    CREATE FUNCTION ledger_transfer(
        this_transfer uuid, player bigint, house bigint, money text, change bigint, why text,
        at_s double precision, for_request text, OUT new_balance bigint, OUT new_version bigint
    ) LANGUAGE plpgsql AS $$
    BEGIN
        IF change >= 0 THEN
            INSERT INTO wallets AS held (player_id, currency, balance) VALUES (player, money, change)
            ON CONFLICT (player_id, currency) DO UPDATE
                SET balance = held.balance + excluded.balance, version = held.version + 1
            RETURNING balance, version INTO new_balance, new_version;
        ELSE
            -- Checks and takes at once: a second one waits for the row and sees the new balance.
            UPDATE wallets SET balance = balance + change, version = version + 1
            WHERE player_id = player AND currency = money AND balance + change >= 0
            RETURNING balance, version INTO new_balance, new_version;
            IF NOT FOUND THEN
                RETURN;
            END IF;
        END IF;
        IF change <> 0 THEN
            INSERT INTO ledger (transfer_id, account, currency, amount, reason, booked_at, request_id)
            VALUES (this_transfer, player, money, change, why, to_timestamp(at_s), for_request),
                (this_transfer, house, money, -change, why, to_timestamp(at_s), for_request);
        END IF;
    END $$
    """,
    # Claims an idempotency key. Two requests with one key at once: the second waits in the insert until the
    # first has committed. fresh: the work is to be done; else the first answer, or a refusal.
    "idempotency_claim (bigint, text, bytea)": """
    CREATE FUNCTION idempotency_claim(
        of_owner bigint, under_key text, asked bytea, OUT fresh boolean, OUT refusal text, OUT earlier json
    ) LANGUAGE plpgsql AS $$
    DECLARE
        known bytea;
    BEGIN
        INSERT INTO idempotency (owner, key, request_hash) VALUES (of_owner, under_key, asked)
        ON CONFLICT DO NOTHING;
        fresh := FOUND;
        IF NOT fresh THEN
            SELECT request_hash, answer INTO known, earlier FROM idempotency
            WHERE owner = of_owner AND key = under_key;
            IF known IS DISTINCT FROM asked THEN
                refusal := 'idempotency-key-reused';
                earlier := NULL;
            END IF;
        END IF;
    END $$
    """,
    "shop_buy (bigint, text, bytea, uuid, text, bigint, bigint, double precision, text, text)": """
    CREATE FUNCTION shop_buy(
        buyer bigint, under_key text, asked bytea, new_purchase uuid, wanted text, pieces bigint,
        seen_price bigint, at_s double precision, from_region text, for_request text,
        OUT refusal text, OUT detail text, OUT done json
    ) LANGUAGE plpgsql AS $$
    DECLARE
        claimed record;
        item catalogue%ROWTYPE;
        paid_now bigint;
        wallet record;
        owned_now bigint;
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
            SELECT * INTO wallet FROM ledger_transfer(
                new_purchase, buyer, -1, item.currency, -paid_now, 'bought ' || wanted, at_s, for_request
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
        INSERT INTO inventory AS held (player_id, item_id, quantity, acquired_at)
        SELECT buyer, wanted, pieces, to_timestamp(at_s) WHERE pieces <= item.max_owned
        ON CONFLICT (player_id, item_id) DO UPDATE
            SET quantity = held.quantity + excluded.quantity,
                acquired_at = CASE WHEN held.quantity = 0 THEN excluded.acquired_at ELSE held.acquired_at END
            WHERE held.quantity + excluded.quantity <= item.max_owned
        RETURNING quantity INTO owned_now;
        IF owned_now IS NULL THEN
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
            'owned', owned_now, 'purchased_at', at_s
        );
        UPDATE idempotency SET answer = done WHERE owner = buyer AND key = under_key;
    EXCEPTION WHEN SQLSTATE 'LD409' THEN
        NULL;  -- undone, the key too: it may be used again
    END $$
    """,
    "shop_grant (bigint, text, bytea, uuid, bigint, text, bigint, text, double precision, text)": """
    CREATE FUNCTION shop_grant(
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
        done := json_build_object(
            'transfer_id', new_transfer, 'player_id', player::text, 'currency', money, 'amount', given,
            'balance', wallet.new_balance, 'version', wallet.new_version
        );
        UPDATE idempotency SET answer = done WHERE owner = of_owner AND key = under_key;
    END $$
    """,
    # Without asker a service asks: whosever it is, and whatever the time.
    "shop_refund (uuid, bigint, uuid, double precision, text)": """
    CREATE FUNCTION shop_refund(
        this_purchase uuid, asker bigint, new_transfer uuid, at_s double precision, for_request text,
        OUT refusal text, OUT detail text, OUT done json
    ) LANGUAGE plpgsql AS $$
    DECLARE
        bought purchases%ROWTYPE;
        for_s bigint;
        wallet record;
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
            SELECT * INTO wallet FROM ledger_transfer(
                new_transfer, bought.player_id, -1, bought.currency, bought.paid,
                'refunded ' || bought.item_id, at_s, for_request
            );
        ELSE
            SELECT coalesce(max(balance), 0) AS new_balance, coalesce(max(version), 0) AS new_version
            INTO wallet
            FROM wallets WHERE player_id = bought.player_id AND currency = bought.currency;
        END IF;
        IF bought.refunded_at IS NULL THEN
            UPDATE inventory SET quantity = quantity - bought.quantity
            WHERE player_id = bought.player_id AND item_id = bought.item_id AND quantity >= bought.quantity;
            IF NOT FOUND THEN
                refusal := 'not-refundable';
                detail := format(
                    'fewer than %s of %s are left to give back', bought.quantity, bought.item_id
                );
                RAISE SQLSTATE 'LD409';
            END IF;
            UPDATE purchases SET refunded_at = to_timestamp(at_s) WHERE purchase_id = this_purchase;
        END IF;
        done := json_build_object(
            'purchase_id', this_purchase, 'player_id', bought.player_id::text, 'currency', bought.currency,
            'refunded', bought.paid, 'balance', wallet.new_balance, 'version', wallet.new_version
        );
    EXCEPTION WHEN SQLSTATE 'LD409' THEN
        NULL;
    END $$
    """,
    # Two players who ask each other become friends; repeating a request changes nothing. One request at a
    # time for each player, locked in one order, so that no two pass the limit together.
    "friends_ask (bigint, bigint, bigint, double precision)": """
    CREATE FUNCTION friends_ask(
        asker bigint, other bigint, max_friends bigint, at_s double precision, OUT refusal text
    ) LANGUAGE plpgsql AS $$
    DECLARE
        one bigint;
    BEGIN
        PERFORM pg_advisory_xact_lock(least(asker, other));
        PERFORM pg_advisory_xact_lock(greatest(asker, other));
        INSERT INTO friendships AS kept (low_id, high_id, asked_by, state, since)
        VALUES (least(asker, other), greatest(asker, other), asker, 'asked', to_timestamp(at_s))
        ON CONFLICT (low_id, high_id) DO UPDATE SET state = 'friends', since = excluded.since
            WHERE kept.state = 'asked' AND kept.asked_by <> excluded.asked_by;
        FOREACH one IN ARRAY ARRAY[asker, other] LOOP
            IF (SELECT count(*) FROM friendships WHERE low_id = one OR high_id = one) > max_friends THEN
                refusal := 'friends-full';
                RAISE SQLSTATE 'LD409';
            END IF;
        END LOOP;
    EXCEPTION WHEN SQLSTATE 'LD409' THEN
        NULL;
    END $$
    """,
}


def upgrade() -> None:
    """Create the column, the indexes, the table and the functions."""
    briefly(_OPENED)
    index_concurrently("progression_by_change", "ON progression (updated_at)")
    index_concurrently("ratings_by_change", "ON ratings (updated_at)")
    op.execute(_CACHE_EPOCHS)
    for definition in FUNCTIONS.values():
        op.execute(definition)


def downgrade() -> None:
    """Drop them."""
    drop_index_concurrently("ratings_by_change")
    drop_index_concurrently("progression_by_change")
    briefly("ALTER TABLE sessions DROP COLUMN IF EXISTS opened")
    for signature in reversed(FUNCTIONS):
        op.execute(f"DROP FUNCTION {signature}")
    op.execute("DROP TABLE cache_epochs")
