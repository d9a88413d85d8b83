"""The statement that reads players as the cache needs them.

It gives one JSON object a player, every value a string: the cache's script decodes it, and there numbers are
not 64 bits wide, and null is not nil.
"""

from __future__ import annotations

NOT_BANNED_MS = -1  # the end of a ban that was lifted, in the cache's form "version,end,reason"
FOR_GOOD_MS = 0  # and of one that has none; else Unix milliseconds
DEFAULT_SKIN = "recruit"  # of a player who has stored no loadout

LOAD_PLAYERS = f"""
SELECT json_strip_nulls(json_build_object(
    'player_id', id::text,
    'device', CASE WHEN NOT EXISTS (
        SELECT FROM logins WHERE login_hash = account.device_hash AND logins.player_id <> id
    ) THEN encode(account.device_hash, 'hex') ELSE '' END,
    'display_name', coalesce(
        (SELECT display_name FROM display_names WHERE display_names.player_id = id),
        account.display_name
    ),
    'logins', (
        SELECT json_object_agg(encode(login_hash, 'hex'), kind) FROM logins WHERE logins.player_id = id
    ),
    'account_version', coalesce(
        (SELECT version FROM account_changes WHERE account_changes.player_id = id), 0
    )::text,
    'erased', (SELECT '1' FROM erasures WHERE erasures.player_id = id),
    'skin', coalesce(loadout.skin, '{DEFAULT_SKIN}'),
    'emotes', coalesce(loadout.emotes, '[]')::text,
    'settings', coalesce(loadout.settings, '{{}}')::text,
    'loadout_version', coalesce(loadout.version, 0)::text,
    'loadout_region', coalesce(loadout.region, ''),
    'xp', progress.xp::text,
    'level', progress.level::text,
    'ratings', (
        SELECT json_object_agg(mode, mu || ',' || sigma || ',' || matches) FROM ratings WHERE player_id = id
    ),
    'wallets', (
        SELECT json_object_agg(currency, balance || ',' || version) FROM wallets WHERE player_id = id
    ),
    'items', (
        SELECT json_object_agg(item_id, quantity || ',' || inventory.version)
        FROM inventory JOIN catalogue USING (item_id) WHERE player_id = id AND kind IN ('skin', 'emote')
    ),
    'session_id', login.session_id,
    'session_generation', login.generation::text,
    'session_seen', login.seen::text,
    'session_state', login.state,
    'session_opened', login.opened::text,
    'session_version', login.version::text,
    'home', login.region,
    'ban', (
        SELECT version || ',' || CASE
            WHEN lifted_at IS NOT NULL THEN '{NOT_BANNED_MS}'
            WHEN ends_at IS NULL THEN '{FOR_GOOD_MS}'
            ELSE (extract(epoch FROM ends_at) * 1000)::bigint::text
        END || ',' || reason
        FROM bans WHERE player_id = id ORDER BY ban_no DESC LIMIT 1
    ),
    'fence', session.fence::text,
    'match_id', session.match_id,
    'server', session.server,
    'outcome', session.outcome,
    'lease_until_ms', (extract(epoch FROM session.lease_until) * 1000)::bigint::text,
    'ended_ms', (extract(epoch FROM session.ended_at) * 1000)::bigint::text
))::text
FROM unnest($1::bigint[]) WITH ORDINALITY AS asked(id, place)
LEFT JOIN accounts account ON account.player_id = id
LEFT JOIN loadouts loadout ON loadout.player_id = id
LEFT JOIN progression progress ON progress.player_id = id
LEFT JOIN sessions login ON login.player_id = id
LEFT JOIN LATERAL (
    SELECT * FROM match_history WHERE player_id = id ORDER BY fence DESC LIMIT 1
) session ON true
ORDER BY place
"""
