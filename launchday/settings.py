"""Every setting of every service: default, unit, and the reason for the default.

Each is read from the environment as ``LAUNCHDAY_<NAME>``; ``launchday doctor`` prints the values in force.
The launcher (``launchday run``, ``up``) fills in the addresses and keys of what it started and hands them to
its children in the same way, so a service cannot tell an embedded server from yours.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from launchday import cache_address, game_addresses
from launchday.errors import LaunchdayError

ENV_PREFIX = "LAUNCHDAY_"
DEFAULT_GAME_BIND = "127.0.0.1"
MAX_SERVERS, MAX_BUFFER = 4_096, 1_000_000
_WHOLE = re.compile(r"-?[0-9]{1,7}")
_SECONDS = re.compile(r"[0-9]{1,6}(\.[0-9]+)?")


class Settings(BaseSettings):
    """All settings; each field's description says what it means."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, extra="forbid", frozen=True)

    # --- where data is kept ---------------------------------------------------------------------------------
    state_dir: Path = Field(
        Path(".launchday"),
        description=(
            "Folder for embedded servers' data, logs and spools. Files in it that are not launchday's are "
            "left alone."
        ),
    )

    # --- engines: an empty address starts the embedded one --------------------------------------------------
    cache_url: str = Field(
        "",
        description=(
            "Address of Valkey or Redis: redis://USER:PASSWORD@HOST:PORT/DB, "
            "redis+cluster://…@HOST:PORT,HOST:PORT or redis+sentinel://…@HOST:PORT,HOST:PORT/NAME/DB; "
            "rediss… is over TLS. Empty: embedded Valkey."
        ),
    )
    cache_password_file: str = Field(
        "",
        description=(
            "File with the password of cache_url's user, read at each connection: it is changed without a "
            "restart. Empty: the one in cache_url."
        ),
    )
    cache_ca: str = Field(
        "",
        description="PEM file of the authority of the cache's certificate; empty: the system's authorities.",
    )
    cache_certificate: str = Field(
        "", description="PEM file of the certificate shown to a cache that asks for one (mTLS); empty: none."
    )
    cache_certificate_key: str = Field("", description="PEM file of that certificate's key.")
    cache_wait_replicas: int = Field(
        0,
        ge=0,
        le=10,
        description=(
            "Replicas of the cache that must have a change before it is acknowledged; with fewer the answer "
            "is 503, and the request is repeated. 0: an acknowledged change may be lost with its primary, "
            "see docs/operating.md."
        ),
    )
    cache_wait_ms: int = Field(
        500,
        ge=1,
        le=1500,
        description="Milliseconds that those replicas may take, where cache_wait_replicas is above 0.",
    )
    store_url: str = Field(
        "",
        description=(
            "postgresql:// address of the global store, as libpq has it: several hosts, sslmode, sslrootcert."
            " Through a pooler in transaction mode with pooler=transaction (…?pooler=transaction). Empty: "
            "embedded PostgreSQL."
        ),
    )
    store_direct_url: str = Field(
        "",
        description=(
            "Address of the store itself, where store_url is that of a pooler in transaction mode: for the "
            "schema, for partitions of a day and for backups. Empty: store_url."
        ),
    )
    store_replica_url: str = Field(
        "",
        description=(
            "Address of a replica of the store, for reads that may be stale (docs/operating.md lists them); "
            "empty: there is none."
        ),
    )
    store_replica_behind_s: float = Field(
        5.0,
        gt=0,
        description="Seconds that the replica may be behind; one that is further, or away, is not asked.",
    )
    kafka_server: Literal["embedded", "apache"] = Field(
        "embedded",
        description=(
            "Broker to start when kafka_bootstrap is empty: embedded (a wheel, in memory) or apache "
            "(make kafka)."
        ),
    )
    kafka_bootstrap: str = Field("", description="host:port,… of Kafka; empty: the embedded broker.")
    kafka_security: Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"] = Field(
        "plaintext",
        description=(
            "How the addresses of kafka_bootstrap are spoken to, as Kafka calls it (security.protocol): "
            "plaintext, ssl (TLS), sasl_plaintext or sasl_ssl (a login, within TLS)."
        ),
    )
    kafka_ca: str = Field(
        "",
        description="PEM file of the authority of the brokers' certificates; empty: the system's own.",
    )
    kafka_certificate: str = Field(
        "", description="PEM file of the certificate shown to brokers that ask for one (mTLS); empty: none."
    )
    kafka_certificate_key: str = Field("", description="PEM file of that certificate's key.")
    kafka_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] = Field(
        "SCRAM-SHA-512", description="How to log in (sasl.mechanism), where kafka_security is one with SASL."
    )
    kafka_user: str = Field("", description="Name to log in with: an API key has one, too.")
    kafka_password: SecretStr = Field(
        SecretStr(""), description="Password of kafka_user, or the secret of an API key."
    )
    kafka_token_command: str = Field(
        "",
        description=(
            "Command that prints a token for OAUTHBEARER: a JWT, or JSON with access_token and expires_in. "
            "It is run again shortly before the token expires. Arguments are parted as a shell does, and "
            "others on the machine can see them: no secrets there."
        ),
    )
    kafka_replication: int = Field(
        -1,
        ge=-1,
        le=100,
        description=(
            "Copies of each record in the topics that are made; -1: the broker's default.replication.factor, "
            "which a managed Kafka has at 3."
        ),
    )

    # --- meta service ---------------------------------------------------------------------------------------
    region: str = Field(
        "",
        max_length=64,
        pattern="^[^#]*$",  # what follows one is a partition's number, in the store's table of epochs
        description=(
            "Region whose cache cache_url is, where several regions share a store; empty: there is one "
            "region."
        ),
    )
    writebehind_limit: int = Field(
        1_000_000,
        ge=1,
        description=(
            "Changes that may wait for the store, about 300 bytes each. With more waiting, changes "
            "of loadouts are "
            "refused with 503; logins and matches go on. Each of cache_partitions has its share."
        ),
    )
    cache_partitions: int = Field(
        0,
        ge=0,
        le=256,
        description=(
            "Parts into which the meta service's players are divided in the cache, each on one node of a "
            "cluster. 0: 1 on one node, 64 on a cluster. The first start writes the number into the cache; "
            "another one is refused from then on."
        ),
    )

    player_cache_ttl_s: float = Field(
        7 * 24 * 3600.0,
        ge=60,
        description=(
            "Seconds for which the cache keeps a player of whom the store has everything, and a name's "
            "password hash, after their last change: a week, in which most who play at all come back. A "
            "player takes about 1 kB of it."
        ),
    )
    name_change_s: float = Field(
        30 * 24 * 3600.0,
        ge=0,
        description=(
            "Seconds between two changes of a player's display name: a month. For as long nobody else takes "
            "the name that was left."
        ),
    )
    oidc: str = Field(
        "",
        description=(
            "File of the platforms whose OpenID Connect tokens log players in, YAML or JSON, see "
            "docs/players.md; empty: none."
        ),
    )
    store_connections: int = Field(
        8,
        ge=2,
        le=100,
        description=(
            "Connections of one API process to the store: a purchase keeps one busy for a millisecond or a "
            "round trip, whichever is longer."
        ),
    )
    rewards_store_connections: int = Field(
        4,
        ge=2,
        le=100,
        description=(
            "Connections of rewards to the store: one applies batches, the others are for the outbox, the "
            "counters and lookups."
        ),
    )
    store_answer_s: float = Field(
        2.0,
        gt=0,
        description=(
            "Seconds in which the store must answer a statement, waiting for a connection included; then the "
            "connection is ended. Six round trips of 300 ms, as a new connection takes, fit."
        ),
    )
    idempotency_days: int = Field(
        14,
        ge=7,
        le=3650,
        description=(
            "How long idempotency keys are kept, in days: a purchase or grant that is repeated later than "
            "that happens again. Each day costs a purchase a look into one more index, some 5 µs."
        ),
    )
    store_change_s: float = Field(
        4.0,
        gt=0,
        description=(
            "Seconds for a purchase, a refund or a grant, repetitions after lost races included; clients "
            "wait 5."
        ),
    )

    # --- services: where they listen, and where others reach them -------------------------------------------
    bind_host: str = Field(
        "127.0.0.1",
        description="Address that every service listens on; the loopback exposes nothing unasked.",
    )
    meta_port: int = Field(8101, ge=1, le=65535, description="TCP port of the meta service.")
    matchmaker_port: int = Field(8102, ge=1, le=65535, description="TCP port of the matchmaker.")
    fleet_port: int = Field(8103, ge=1, le=65535, description="TCP port of the fleet: allocator and admin.")
    rewards_port: int = Field(
        8104, ge=1, le=65535, description="TCP port of the rewards service: health, metrics and counters."
    )
    director_port: int = Field(
        8105,
        ge=0,
        le=65535,
        description="TCP port of a director: health and metrics; 0: none, as for a second one on a machine.",
    )
    writebehind_port: int = Field(
        8106,
        ge=0,
        le=65535,
        description="TCP port of a write-behind worker: health and metrics; 0: none.",
    )
    analytics_port: int = Field(
        8107, ge=0, le=65535, description="TCP port of the analytics writer: health and metrics; 0: none."
    )
    drain_s: float = Field(
        0.0,
        ge=0,
        le=60,
        description=(
            "Seconds for which a service that is asked to stop still answers while its /readyz says 503, so "
            "that a load balancer that asks it can send players elsewhere; 0: it stops at once."
        ),
    )
    meta_url: str = Field("http://127.0.0.1:8101", description="Base URL of the meta service.")
    matchmaker_url: str = Field("http://127.0.0.1:8102", description="Base URL of the matchmaker.")
    fleet_url: str = Field("http://127.0.0.1:8103", description="Base URL of the allocator, ours or Agones'.")
    rewards_url: str = Field("http://127.0.0.1:8104", description="Base URL of the rewards service.")

    # --- identity -------------------------------------------------------------------------------------------
    identity_keys: str = Field(
        "",
        description=(
            "Key file of this process (a set of JSON Web Keys), or a folder of such files, of which it reads "
            "its own: launchday keys make. It is read again when it changes, and on SIGHUP. Empty: "
            "identity_secret signs everything."
        ),
    )
    identity_secret: SecretStr = Field(
        SecretStr(""),
        description=(
            "One secret that signs and verifies every token, at least 32 bytes, the same for every service: "
            "for one machine. Beside identity_keys it is taken still, until a backend has moved to keys."
        ),
    )
    identity_issuer: str = Field(
        "launchday",
        min_length=1,
        max_length=200,
        description="Issuer that tokens name (iss) and must name: a name of this backend's own.",
    )
    identity_audience: str = Field(
        "launchday",
        min_length=1,
        max_length=200,
        description="Audience that tokens name (aud) and must name, so that none of a test backend is taken.",
    )
    identity_plain: bool = Field(
        False,
        description=(
            "Sign with identity_secret as the release before keys did, without kid, iss and aud, for it "
            "refuses others. Only while that release runs beside this one."
        ),
    )
    fleet_key: SecretStr = Field(
        SecretStr(""),
        description=(
            "Key that seals connect tokens, 64 hexadecimal digits. Known to game servers, directors and the "
            "matchmaker, which gives players a newer token to come back with; to nobody else."
        ),
    )
    session_ttl_s: float = Field(
        900.0,
        gt=0,
        description=(
            "Seconds a player's session token is valid. For as long a revoked token may still open "
            "services that check "
            "its signature alone."
        ),
    )
    refresh_ttl_s: float = Field(
        30 * 24 * 3600.0, gt=0, description="Seconds a player's refresh token is valid if it is not used."
    )
    refresh_repeat_s: float = Field(
        600.0,
        ge=0,
        description=(
            "Seconds for which a refresh token may be exchanged again while nobody has used what the first "
            "exchange gave: its answer was lost on the way to a phone that slept. After that, or once a "
            "token of the new pair was used, it is a copy and ends the session."
        ),
    )

    # --- clocks ---------------------------------------------------------------------------------------------
    clock_tolerance_s: float = Field(
        300.0,
        ge=0,
        le=3600,
        description=(
            "Seconds by which a service's wall clock may be ahead of the time that its region shares before "
            "it takes session and service tokens for expired: it was stepped, or is wrong; five minutes, as "
            "Kerberos has it."
        ),
    )
    clock_skew_s: float = Field(
        5.0,
        gt=0,
        description=(
            "Seconds by which the clocks of two parts of the backend may differ before the log says so; the "
            "gauge launchday_clock_skew_seconds shows every difference. NTP keeps machines within 0.1."
        ),
    )

    # --- seasons --------------------------------------------------------------------------------------------
    seasons: str = Field(
        "",
        description=(
            "File of the table of seasons, in the form of launchday/seasons.yaml, for passes, challenges and "
            "leaderboards alike: the same for meta service, write-behind and rewards. Shipped challenges of "
            "seasons that it does not have are left out. Empty: the shipped one."
        ),
    )
    rules: str = Field(
        "",
        description=(
            "File of the rules of progress, in the form of rewards/progression/rules.yaml, with "
            "challenges.yaml beside it. Rewards alone reads it, at start and on SIGHUP. Empty: the shipped "
            "one."
        ),
    )

    # --- the catalogue --------------------------------------------------------------------------------------
    item_kinds: str = Field(
        "skin,emote,spray,title,consumable",
        pattern=r"^[a-z0-9-]+(,[a-z0-9-]+)*$",
        description=(
            "Kinds that an item of the catalogue may be of, with commas between them: a misspelt one is "
            "refused. Loadouts wear what is a skin or an emote."
        ),
    )
    catalogue_look_s: float = Field(
        5.0,
        gt=0,
        description=(
            "Seconds between two looks of a meta service at the store's catalogue: what was put there is in "
            "force everywhere after so long; SIGHUP and the operators' route look at once."
        ),
    )

    # --- edge: limits on requests, TLS ----------------------------------------------------------------------
    max_request_bytes: int = Field(
        512 * 1024,
        ge=1024,
        description="Longest request body; the commit of a match of 1,600 players takes 190 KB.",
    )
    requests_per_player_s: float = Field(
        50.0,
        ge=0,
        description="Requests a second of one player, with a burst of four seconds' worth; 0: no limit.",
    )
    requests_per_address_s: float = Field(
        0.0,
        ge=0,
        description=(
            "Requests a second from one address without a service's token, with a burst of four "
            "seconds' worth; 0: no "
            "limit, as all simulated players share an address."
        ),
    )
    logins_per_address_s: float = Field(
        20.0,
        ge=0,
        description=(
            "Logins by password, and by device or refresh token, a second from one address, each with a "
            "burst "
            "of four seconds' worth: enough for a school behind one address, too few for a machine that "
            "guesses. The loopback is exempt, as simulated players share it. 0: no limit."
        ),
    )
    hashing_processes: int = Field(
        0,
        ge=0,
        le=64,
        description=(
            "Processes that hash passwords, 20 ms of a core and 19 MB each; 0: one for each core that the "
            "container grants but the API's own, at least 1 and at most 4."
        ),
    )
    trusted_proxies: str = Field(
        "127.0.0.1",
        description="Comma-separated addresses whose X-Forwarded-For is believed: the load balancer's.",
    )
    tls_certificate: str = Field(
        "", description="PEM file of the certificate chain; empty: plain HTTP behind a load balancer."
    )
    tls_key: str = Field("", description="PEM file of the certificate's key.")

    # --- fleet ----------------------------------------------------------------------------------------------
    regions: str = Field(
        "west-europe,east-us",
        description="Comma-separated regions with a fleet each, by their names in region_rtt.csv.",
    )
    ready_per_region: int | str = Field(
        2,
        description=(
            "Idle warm servers kept Ready in each region (the buffer); or a number for each, as "
            "region=number,…"
        ),
    )
    max_servers: int | str = Field(
        64,
        description=(
            "Maximum of game servers, all regions together; or one for each region, as region=number,…, and "
            "their sum for all."
        ),
    )
    game_bind: str = Field(
        DEFAULT_GAME_BIND,
        description=(
            "Address that game servers bind, of either family; 0.0.0.0 is all of IPv4, :: all of both. Or "
            "one for each region, as region=address,…"
        ),
    )
    game_public_host: str = Field(
        "",
        description=(
            "Address that players are given, or a name: one, or one of each family with a comma between; "
            "or for each region, as region=address,… To be set where servers stand behind a 1:1 NAT, as in "
            "most clouds. Empty: game_bind."
        ),
    )
    game_host: str = Field(
        "", description="Former name of game_bind, which is taken from it where it is not set itself."
    )
    game_port_min: int = Field(7000, ge=1024, le=65535, description="First UDP port of game servers.")
    game_port_max: int = Field(7999, ge=1024, le=65535, description="Last UDP port of game servers.")
    game_port: int = Field(
        0,
        ge=0,
        le=65535,
        description=(
            "UDP port that a game server binds; 0: the one of its GameServer record, which is "
            "right for our fleet and for "
            "Agones' Passthrough policy."
        ),
    )
    bots_prefer: Literal["", "ipv4", "ipv6"] = Field(
        "",
        description=(
            "Family of the address by which bots reach a game server that has both, where their machine has "
            "a way to it; empty: the one that the server is known by."
        ),
    )
    record_dir: str = Field(
        "",
        description=(
            "Folder in which game servers record matches for launchday replay, a file each; empty: no "
            "recording."
        ),
    )
    server_health_s: float = Field(
        10.0,
        gt=0,
        description="Seconds without a heartbeat that make a game server Unhealthy; one comes every 2 s.",
    )
    warm_parents: int = Field(
        1,
        ge=1,
        le=32,
        description="Processes that fork game servers; a process that ends takes its servers with it.",
    )
    game_server_command: str = Field(
        "",
        description=(
            "Command of a game server of your own, which the fleet starts in place of ours, its words as a "
            "shell takes them apart. It speaks Agones' SDK: docs/own-game-server.md. Empty: ours."
        ),
    )
    fleet_policy: str = Field(
        "",
        description=(
            "Autoscaling policy of every region in Agones' JSON, or the path of a file with it; "
            "empty: a Buffer of "
            "ready_per_region; forecast: our own policy, which sizes the buffer by the demand."
        ),
    )
    startup_delay_s: str = Field(
        "",
        description=(
            "Seconds before a server is forked, as region=seconds,…: simulates the time in which a "
            "machine is "
            "provisioned; empty: none."
        ),
    )
    fleet_counters_and_lists: str = Field(
        "",
        description="Counters and lists that every game server starts with, in Agones' JSON; empty: none.",
    )
    claim_s: float = Field(
        30.0,
        ge=0,
        description=(
            "Seconds in which an allocated server must begin its match, else the fleet ends it; that it is "
            "starting is no begin. The director is as patient with it. 0: no limit."
        ),
    )
    fleet_starts_min: int = Field(
        1,
        ge=1,
        le=1000,
        description="Matches that may always be starting at the same time, however late they are.",
    )
    fleet_starts_max: int = Field(
        32,
        ge=0,
        le=10_000,
        description=(
            "Matches that may be starting at the same time at most; beyond what the machine is found to "
            "carry, allocations are answered with 429. A start takes about 0.15 s of a core. 0: no limit."
        ),
    )
    max_match_s: float = Field(
        4 * 3600.0,
        ge=0,
        description="Seconds after which a match is ended together with its server; 0: never.",
    )
    server_memory_mb: int = Field(
        1024,
        ge=0,
        description="Private memory in MB above which a game server in a match is ended; 0: no limit.",
    )
    operator_token: SecretStr = Field(
        SecretStr(""),
        description=(
            "Token that launchday player shows the meta service; empty: one signed with the operators' key, "
            "or the one that a fleet of this state_dir has left."
        ),
    )
    fleet_token: SecretStr = Field(
        SecretStr(""),
        description=(
            "Token that launchday fleet shows; empty: one signed with the operators' key, or the one "
            "that a fleet of this "
            "state_dir has left."
        ),
    )
    spectator_dir: str = Field(
        "",
        description=(
            "Folder in which a fleet makes one of its own, where game servers publish their matches for the "
            "live map; other files in it are left alone. Empty: shared memory; none under Agones."
        ),
    )
    fleet_client_ca: str = Field(
        "",
        description=(
            "PEM file of authorities; with it the fleet answers only callers with a client "
            "certificate of theirs (needs "
            "tls_certificate)."
        ),
    )
    fleet_ca: str = Field(
        "",
        description=(
            "PEM file of the authority of the fleet's or Agones' certificate; empty: the system's "
            "authorities."
        ),
    )
    fleet_certificate: str = Field(
        "", description="PEM file of the certificate that directors show to the allocator; empty: none."
    )
    fleet_certificate_key: str = Field("", description="PEM file of that certificate's key.")
    console_port: int = Field(
        0,
        ge=0,
        le=65535,
        description="TCP port of the fleet's web page; 0: any free one (the fleet's / leads to it).",
    )

    # --- match ----------------------------------------------------------------------------------------------
    modes: str = Field(
        "",
        description=(
            "Folders of your own modes, comma-separated, each with its card.yaml, hooks.py and "
            "rule_set.json; they are played beside those that ship."
        ),
    )
    match_players: int = Field(
        100,
        ge=2,
        le=1600,
        description=(
            "Players that a match is filled to, of a mode whose card leaves its size to the settings, as "
            "battle_royale's does."
        ),
    )
    match_min_players: int = Field(
        2,
        ge=2,
        description="Fewest players of such a match once its oldest ticket has waited match_fill_s.",
    )
    match_fill_s: float = Field(
        30.0, ge=0, description="Seconds the oldest ticket waits before such a match may start short."
    )
    accept_s: float = Field(
        0.0,
        ge=0,
        description="Seconds that players have to accept a match that was found; 0: they are not asked.",
    )
    backfill_until: str = Field(
        "",
        description=(
            "Part of a match during which its free slots are given to waiting players, as "
            "mode=share,…: 0 never, 1 to the end; a mode that is not named: as its card says "
            "(backfill_until), and never where it has a rule set of your own."
        ),
    )
    match_s: float = Field(
        0.0,
        ge=0,
        description="Seconds after which a match ends at the latest; 0: as its mode's card says (match_s).",
    )
    match_s_by_mode: str = Field(
        "",
        description=(
            "Comma-separated mode=seconds, for modes whose matches last otherwise than match_s: "
            "teams_of_five=240."
        ),
    )
    party_sizes: str = Field(
        "",
        description=(
            "Largest party of a mode, as mode=members,…: a larger one is refused when it queues. Of a mode "
            "that is not named, its card says it; one of a rule set of your own is refused when its tickets "
            "are made."
        ),
    )
    ticket_ttl_s: float = Field(
        300.0, gt=0, description="Seconds for which a ticket is searched before it expires."
    )
    matching_period_s: float = Field(
        0.1, gt=0, description="Seconds between two matching cycles of a director."
    )
    max_latency_ms: float = Field(
        250.0, gt=0, description="Round trip above which a region is never chosen for a player."
    )

    # --- matchmaker -----------------------------------------------------------------------------------------
    ticket_retention_s: float = Field(
        600.0,
        gt=0,
        description=(
            "Seconds for which an ended ticket stays readable, so that a repeated request learns how "
            "it ended."
        ),
    )
    director_lease_s: float = Field(
        3.0,
        gt=0,
        description="Seconds for which a crashed director keeps its queue before another takes over.",
    )
    allocation_timeout_s: float = Field(
        10.0,
        gt=0,
        description=(
            "Seconds for which an unanswered allocation is repeated before its tickets go back to the queue."
        ),
    )
    server_answer_s: float = Field(
        2.0,
        ge=0,
        description=(
            "Seconds in which an allocated server should answer a director's datagram. One that does not is "
            "asked again for as long as the fleet says that it lives, up to claim_s; 0: it is not asked, "
            "where "
            "the director cannot reach the servers' UDP ports."
        ),
    )
    ticket_liveness_s: float = Field(
        30.0,
        ge=0,
        description=(
            "Seconds after which a player's ticket ends that nobody has followed, polled or read; a client "
            "that "
            "crashed spoils a match otherwise. Time in which the API or the cache was away does not count, "
            "and "
            "tickets made by a service are exempt; 0: no ticket ends so. Clients poll for up to 30 s at "
            "once, "
            "which counts as looking."
        ),
    )
    director_queues: str = Field(
        "",
        description=(
            "Comma-separated modes that a director process serves; empty: all. Each queue has one "
            "leader, wherever it runs."
        ),
    )
    rule_sets: str = Field(
        "",
        description=(
            "Your own rule sets in FlexMatch's JSON, comma-separated: mode=FILE, or "
            "mode:game_mode=FILE where the game "
            "servers' mode has another name; a mode that is not named: as its folder says (rule_set.json)."
        ),
    )
    tickets_per_player_s: float = Field(
        1.0,
        ge=0,
        description="Tickets a second of one player, with a burst of ten seconds' worth; 0: no limit.",
    )
    connect_token_ttl_s: float = Field(
        60.0,
        gt=0,
        description=(
            "Seconds beyond match_s for which a connect token opens a connection: players who lost "
            "theirs may come back "
            "until the end."
        ),
    )

    # --- events ---------------------------------------------------------------------------------------------
    topic_prefix: str = Field("launchday", description="First part of every topic's name.")
    event_max_ahead_s: float = Field(
        86_400.0,
        gt=0,
        le=366 * 86_400.0,
        description=(
            "An event whose time is further ahead of its arrival at the broker (s) is a dead letter: the "
            "clock of its producer is wrong."
        ),
    )
    event_max_behind_s: float = Field(
        8 * 86_400.0,
        ge=60,
        le=366 * 86_400.0,
        description=(
            "As above, of an event that is further behind. A spool may be sent after days; the inbox "
            "remembers ids for so much longer than the topics keep records."
        ),
    )

    # --- logs -----------------------------------------------------------------------------------------------
    log_level: str = Field("info", description="debug, info, warning or error.")
    log_json: bool = Field(False, description="One JSON object a line instead of readable lines.")

    @model_validator(mode="before")
    @classmethod
    def _cache_url_says_it_all(cls, values: Any) -> Any:
        """What belongs to a cache's address goes into it: whoever is given the address needs no more."""
        url, more = values.get("cache_url"), cache_address.parameters(values)
        return values | {"cache_url": cache_address.completed(url, more)} if url and more else values

    @model_validator(mode="before")
    @classmethod
    def _game_bind_had_another_name(cls, values: Any) -> Any:
        former = values.get("game_host")
        return values | {"game_bind": former} if former and not values.get("game_bind") else values

    @field_validator("game_bind", "game_public_host")
    @classmethod
    def _game_hosts_are_addresses(cls, value: str, info: ValidationInfo) -> str:
        hosts = game_addresses.parse_hosts(value, most=1 if info.field_name == "game_bind" else 2)
        if info.field_name == "game_bind" and not hosts:
            raise ValueError("must be an address of this machine: 127.0.0.1, 0.0.0.0 or ::")
        reason = game_addresses.why_not_these_regions(hosts, _names(info.data.get("regions", "")))
        if reason is not None:
            raise ValueError(reason)
        return value

    def game_bind_in(self, region: str) -> str:
        """Return the address that game servers of a region bind."""
        hosts = game_addresses.parse_hosts(self.game_bind, most=1)
        return (*game_addresses.hosts_in(hosts, region), DEFAULT_GAME_BIND)[0]

    def game_public_hosts_in(self, region: str) -> tuple[str, ...]:
        """Return the addresses or names that players of a region are given: one, or two."""
        hosts = game_addresses.parse_hosts(self.game_public_host, most=2)
        return game_addresses.hosts_in(hosts, region) or (self.game_bind_in(region),)

    @field_validator("cache_url")
    @classmethod
    def _cache_url_is_an_address(cls, value: str) -> str:
        if value:
            cache_address.CacheAddress.of(value)
        return value

    @field_validator("fleet_key")
    @classmethod
    def _fleet_key_is_32_bytes(cls, value: SecretStr) -> SecretStr:
        text = value.get_secret_value()
        if text and (len(text) != 64 or any(c not in "0123456789abcdef" for c in text.lower())):
            raise ValueError("must be 64 hexadecimal digits (openssl rand -hex 32)")
        return value

    @field_validator("kafka_security", mode="before")
    @classmethod
    def _kafka_security_in_any_case(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @field_validator("kafka_replication")
    @classmethod
    def _kafka_replication_is_some(cls, value: int) -> int:
        if value == 0:
            raise ValueError("must be -1 for the broker's default, or at least 1")
        return value

    @field_validator("backfill_until")
    @classmethod
    def _backfill_until_is_shares(cls, value: str) -> str:
        _shares(value)
        return value

    @property
    def backfill_shares(self) -> dict[str, float]:
        """The part of a match, from 0 to 1, during which free slots are filled, by mode; modes not named are
        missing.
        """
        return _shares(self.backfill_until)

    @field_validator("match_s_by_mode")
    @classmethod
    def _match_s_by_mode_is_seconds(cls, value: str) -> str:
        for mode, _, length_s in (item.partition("=") for item in value.split(",") if item.strip()):
            if not mode.strip() or not _SECONDS.fullmatch(length_s.strip()) or float(length_s) <= 0:
                raise ValueError("must be mode=seconds, with commas between them: teams_of_five=240")
        return value

    def match_s_of(self, mode: str, card_s: float) -> float:
        """Return the seconds after which a match of this mode ends at the latest; ``card_s``: as its card
        says.
        """
        lengths = (item.partition("=") for item in self.match_s_by_mode.split(","))
        return {name.strip(): float(length_s) for name, _, length_s in lengths if name.strip()}.get(
            mode, self.match_s or card_s
        )

    @field_validator("party_sizes")
    @classmethod
    def _party_sizes_are_members(cls, value: str) -> str:
        for mode, _, members in (item.partition("=") for item in value.split(",") if item.strip()):
            if not mode.strip() or not _WHOLE.fullmatch(members.strip()) or int(members) < 1:
                raise ValueError("must be mode=members, with commas between them: teams_of_five=5")
        return value

    @property
    def store_itself(self) -> str:
        """The address of the store without a pooler in between."""
        return self.store_direct_url or self.store_url

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds that an item of the catalogue may be of."""
        return tuple(self.item_kinds.split(","))

    def party_size_of(self, mode: str) -> int | None:
        """Return the most members of a party that queues for this mode; None where no setting says it."""
        sizes = (item.partition("=") for item in self.party_sizes.split(","))
        return {name.strip(): int(members) for name, _, members in sizes if name.strip()}.get(mode)

    @field_validator("ready_per_region", "max_servers", mode="before")
    @classmethod
    def _servers_are_a_number_or_one_a_region(cls, value: object, info: ValidationInfo) -> object:
        if not isinstance(value, int | str):
            return value
        regions = _names(info.data.get("regions", ""))
        least, most = (1, MAX_SERVERS) if info.field_name == "max_servers" else (0, MAX_BUFFER)
        counts = _by_region(value, regions)
        if not counts or not all(least <= count <= most for count in counts.values()):
            raise ValueError(
                f"must be a whole number from {least} to {most:,}, or one for each region: "
                f"{','.join(f'{name}={max(least, 2)}' for name in regions)}"
            )
        if lacking := [name for name in regions if name not in counts]:
            raise ValueError(f"has no number for {', '.join(lacking)}: name each region of LAUNCHDAY_REGIONS")
        if unknown := [name for name in counts if name not in regions]:
            raise ValueError(f"{unknown[0]!r:.60} is none of LAUNCHDAY_REGIONS: {', '.join(regions)}")
        return value if isinstance(value, int) or "=" in value else int(value)

    @property
    def ready_by_region(self) -> dict[str, int]:
        """Idle warm servers kept Ready, by region."""
        return _by_region(self.ready_per_region, self.region_names)

    @property
    def max_servers_by_region(self) -> dict[str, int]:
        """The most game servers of each region by itself."""
        return _by_region(self.max_servers, self.region_names)

    def why_not_by_region(self) -> str | None:
        """Say which numbers by region are for other regions than there are, in one line; None where none is.

        Such as where a scenario has replaced the regions.
        """
        for name, counts in (
            ("ready_per_region", self.ready_by_region),
            ("max_servers", self.max_servers_by_region),
        ):
            if set(counts) != set(self.region_names):
                return (
                    f"{env_name(name)} is for {', '.join(counts)}, and the regions are "
                    f"{', '.join(self.region_names)}: give each of them a number, or one for all"
                )
        for name, most in (("game_bind", 1), ("game_public_host", 2)):
            hosts = game_addresses.parse_hosts(getattr(self, name), most)
            if (reason := game_addresses.why_not_these_regions(hosts, self.region_names)) is not None:
                return f"{env_name(name)}: {reason}"
        return None

    @property
    def max_servers_in_all(self) -> int:
        """The most game servers of all regions together."""
        if isinstance(self.max_servers, int):
            return self.max_servers
        return min(sum(self.max_servers_by_region.values()), MAX_SERVERS)

    @property
    def region_names(self) -> tuple[str, ...]:
        """The regions that have a fleet, in the order given."""
        return _names(self.regions)

    @property
    def fleet_key_bytes(self) -> bytes:
        """The key that seals connect tokens: 32 bytes."""
        return bytes.fromhex(self.fleet_key.get_secret_value())


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _by_region(value: int | str, regions: tuple[str, ...]) -> dict[str, int]:
    """A number for each region, from one for all or from ``region=number,…``; {} where it is neither."""
    if isinstance(value, int) or _WHOLE.fullmatch(value.strip()):
        return dict.fromkeys(regions, int(value))
    counts: dict[str, int] = {}
    for entry in value.split(","):
        region, _, count = (part.strip() for part in entry.partition("="))
        if not region or region in counts or not _WHOLE.fullmatch(count):
            return {}
        counts[region] = int(count)
    return counts


def _shares(text: str) -> dict[str, float]:
    shares = {}
    for entry in filter(None, (each.strip() for each in text.split(","))):
        mode, _, share = entry.partition("=")
        try:
            shares[mode.strip()] = float(share)
        except ValueError:
            raise ValueError(f"{entry!r} must be a mode, =, and a number from 0 to 1") from None
        if not mode.strip() or not 0.0 <= shares[mode.strip()] <= 1.0:
            raise ValueError(f"{entry!r} must be a mode, =, and a number from 0 to 1")
    return shares


class SettingsError(LaunchdayError):
    """Raised where variables of the environment cannot be used. The text is one line that names each.

    Attributes:
        exit_code: of a process that finds it out.
    """

    exit_code = 2


@functools.cache
def settings() -> Settings:
    """Return this process's settings, read from the environment once. Raises SettingsError."""
    try:
        return Settings()
    except ValidationError as error:
        raise SettingsError(
            "; ".join(
                f"{env_name(str(item['loc'][0])) if item['loc'] else 'settings'}: {item['msg']}"
                for item in error.errors()
            )
        ) from error


def env_name(setting: str) -> str:
    """Return the environment variable of a setting."""
    return ENV_PREFIX + setting.upper()


def environment(settings: Settings) -> dict[str, str]:
    """Return the settings as environment variables, for child processes."""
    values: dict[str, str] = {}
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            value = value.get_secret_value()
        if isinstance(value, Path):
            value = value.absolute()
        values[env_name(name)] = str(value)
    return values


def in_url(host: str) -> str:
    """Return an address as a URL writes it: one of IPv6 stands in brackets (RFC 3986, 3.2.2)."""
    return f"[{host}]" if ":" in host else host
