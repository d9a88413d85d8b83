"""The statement that reads players as the cache needs them.

It gives one JSON object a player, every value a string: the cache's script decodes it, and there numbers are
not 64 bits wide, and null is not nil.
"""

from __future__ import annotations

DEFAULT_SKIN = "recruit"  # of a player who has stored no loadout

LOAD_PLAYERS = f"""
SELECT json_strip_nulls(json_build_object(
    'player_id', id::text,
    'device', encode(account.device_hash, 'hex'),
    'display_name', account.display_name,
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
    'session_id', login.session_id,
    'session_generation', login.generation::text,
    'session_seen', login.seen::text,
    'session_state', login.state,
    'session_opened', login.opened::text,
    'session_version', login.version::text,
    'home', login.region,
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
