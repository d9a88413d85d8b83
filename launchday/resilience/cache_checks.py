"""Whether a cache keeps what it accepts: what a Valkey or Redis of the user's own is asked before it is used.

Accepted changes wait in the cache for the store. A cache that evicts keys when it is full drops them, the
stream of waiting changes included, without a word; one without an append-only file loses them when it ends.
In a cluster every node that has keys is asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

from launchday.cache_address import CacheAddress
from launchday.errors import LaunchdayError
from launchday.resilience.requirements import Fault, Requirement

if TYPE_CHECKING:
    from redis.asyncio import Redis

SAFE_POLICY = "noeviction"
OLDEST = (7, 0)
PROBED_KEYS = ("{meta}:launchday-probe", "{mm}:launchday-probe")
ADDRESS = "LAUNCHDAY_CACHE_URL"

EVICTION = Requirement(
    "maxmemory-policy",
    SAFE_POLICY,
    "accepted changes are dropped when it is full, without a word",
    f"CONFIG SET maxmemory-policy {SAFE_POLICY}",
    refuse=True,
)
APPEND_ONLY = Requirement(
    "appendonly",
    "yes",
    "what is not in the store yet is lost when it ends",
    "CONFIG SET appendonly yes",
    refuse=False,
)
SYNCED = Requirement(
    "appendfsync",
    "always",
    "a power cut loses the last changes",
    "CONFIG SET appendfsync always",
    refuse=False,
)
VERSION = Requirement(
    "version",
    f"Redis {OLDEST[0]}.{OLDEST[1]}, Valkey 7.2, or newer",
    "scripts fail, which use SET NX GET and EXPIRE GT",
    "install Valkey 8, or Redis {oldest} or newer",
    refuse=True,
)
PRIMARY = Requirement(
    ADDRESS,
    "a primary, not a replica",
    "no change is taken",
    "give its master's address instead: " + ADDRESS + "={scheme}://{host}:{port}",
    refuse=True,
)
CLUSTER_ADDRESS = Requirement(
    ADDRESS,
    "redis+cluster:// for a cluster",
    "every key that another node has is an error",
    ADDRESS + "={scheme}+cluster://{host}:{port}",
    refuse=True,
)
NODE_ADDRESS = Requirement(
    ADDRESS,
    "redis:// for one node",
    "the node says that it is no cluster",
    ADDRESS + "={scheme}://{host}:{port}",
    refuse=True,
)
SENTINEL_ADDRESS = Requirement(
    ADDRESS,
    "redis+sentinel:// for Sentinels, with the name that they watch",
    "a Sentinel keeps no data, and another server names no primary",
    ADDRESS + "={scheme}+sentinel://{host}:{port}/{name}",
    refuse=True,
)
FULL_COVERAGE = Requirement(
    "cluster-require-full-coverage",
    "no",
    "a part of the slots without a node stops all players, not only its own",
    "CONFIG SET cluster-require-full-coverage no",
    refuse=False,
)
REPLICATED = Requirement(
    "replicas",
    "one or more of each primary of a cluster",
    "what a node had that is not in the store yet is gone with it",
    "CLUSTER REPLICATE {node}, typed at a node without slots",
    refuse=False,
)
ENOUGH_REPLICAS = Requirement(
    "LAUNCHDAY_CACHE_WAIT_REPLICAS",
    "no more than each primary has",
    "every change is refused",
    "LAUNCHDAY_CACHE_WAIT_REPLICAS={count}",
    refuse=False,
)
COMMANDS = Requirement(
    "ACL of the user",
    "+@all -@dangerous +info, keys ~*",
    "some requests fail, each time",
    "ACL SETUSER {user} {rule}",
    refuse=True,
)
LOGIN = Requirement(
    "LAUNCHDAY_CACHE_PASSWORD_FILE",
    "the password of the user in " + ADDRESS,
    "no request is answered",
    "LAUNCHDAY_CACHE_PASSWORD_FILE=FILE, and the user in " + ADDRESS + "={scheme}://USER@…",
    refuse=True,
)
TLS = Requirement(
    ADDRESS,
    "rediss… where the server speaks TLS, redis… where it does not",
    "no connection is made",
    ADDRESS + "={scheme}://…",
    refuse=True,
)
AUTHORITY = Requirement(
    "LAUNCHDAY_CACHE_CA",
    "file of the authority of the server's certificate",
    "no connection is made",
    "LAUNCHDAY_CACHE_CA=FILE",
    refuse=True,
)
HOST_NAME = Requirement(
    ADDRESS,
    "the name that the server's certificate has",
    "no connection is made",
    "give that name in " + ADDRESS + ", or add ?ssl_check_hostname=no where the authority is yours alone",
    refuse=True,
)
CERTIFICATE = Requirement(
    "LAUNCHDAY_CACHE_CERTIFICATE",
    "where the server asks for one (tls-auth-clients)",
    "no connection is made",
    "LAUNCHDAY_CACHE_CERTIFICATE=FILE LAUNCHDAY_CACHE_CERTIFICATE_KEY=FILE",
    refuse=True,
)

CACHE_REQUIREMENTS = (
    *(TLS, AUTHORITY, HOST_NAME, CERTIFICATE, LOGIN, CLUSTER_ADDRESS, NODE_ADDRESS, SENTINEL_ADDRESS),
    *(PRIMARY, VERSION, COMMANDS, EVICTION, APPEND_ONLY, SYNCED, FULL_COVERAGE, REPLICATED, ENOUGH_REPLICAS),
)

NEEDED_COMMANDS: tuple[tuple[Any, ...], ...] = (
    *(("DEL", "k"), ("EXISTS", "k"), ("EXPIRE", "k", 1), ("GET", "k"), ("INCR", "k"), ("MGET", "k")),
    *(("PERSIST", "k"), ("PEXPIRE", "k", 1), ("PTTL", "k"), ("SET", "k", ""), ("TTL", "k"), ("UNLINK", "k")),
    *(("HDEL", "k", "f"), ("HEXISTS", "k", "f"), ("HGET", "k", "f"), ("HGETALL", "k"), ("HKEYS", "k")),
    *(("HINCRBY", "k", "f", 1), ("HMGET", "k", "f"), ("HSET", "k", "f", "v"), ("HSETNX", "k", "f", "v")),
    *(("LLEN", "k"), ("LPOP", "k"), ("LPOS", "k", "v"), ("LPUSH", "k", "v"), ("LRANGE", "k", 0, 0)),
    *(("LREM", "k", 0, "v"), ("LTRIM", "k", 0, 0), ("RPUSH", "k", "v")),
    *(("SADD", "k", "v"), ("SMEMBERS", "k"), ("SREM", "k", "v")),
    *(("XACK", "k", "g", "0-1"), ("XADD", "k", "*", "f", "v"), ("XDEL", "k", "0-1"), ("XLEN", "k")),
    *(("XAUTOCLAIM", "k", "g", "c", 0, "0"), ("XGROUP", "CREATE", "k", "g", "0"), ("XINFO", "STREAM", "k")),
    *(("XRANGE", "k", "-", "+"), ("XREVRANGE", "k", "+", "-"), ("XTRIM", "k", "MINID", "0")),
    *(("XREAD", "STREAMS", "k", "0"), ("XREADGROUP", "GROUP", "g", "c", "STREAMS", "k", ">")),
    *(("ZADD", "k", 0, "v"), ("ZCARD", "k"), ("ZCOUNT", "k", 0, 0), ("ZINCRBY", "k", 1, "v")),
    *(("ZMSCORE", "k", "v"), ("ZRANGE", "k", 0, 0), ("ZRANGEBYSCORE", "k", 0, 0), ("ZRANK", "k", "v")),
    *(
        ("ZREM", "k", "v"),
        ("ZREMRANGEBYRANK", "k", 0, 0),
        ("ZREMRANGEBYSCORE", "k", 0, 0),
        ("ZSCORE", "k", "v"),
    ),
    *(("EVALSHA", "0" * 40, 1, "k"), ("SCRIPT", "LOAD", "return 1"), ("TIME",), ("PING",), ("WAIT", 0, 0)),
)
"""All that services and their scripts send, with "k" for the key. They are queued, and then discarded."""


class UnfitCacheError(LaunchdayError):
    """Raised at the start where the cache would lose what it accepts; the message says what to type."""


async def cache_faults(redis: Redis) -> list[Fault]:
    """Ask a cache how it is set up, and say what is wrong with that.

    Managed caches may forbid CONFIG; then INFO tells of eviction and of the append-only file.

    Raises redis-py's ConnectionError or TimeoutError when it does not answer.
    """
    from launchday.resilience import cache_client

    cluster = cache_client.is_cluster(redis)
    found: list[Fault] = []
    for node in await cache_client.each_primary(redis):
        config = await _ask_config(node)
        info = await _ask_info(node)
        place = _place(node)
        if misdirected := _faults_of_address(info, place, cluster):
            return misdirected
        found += [*_faults_of_version(info), *_faults_of_memory(config, info)]
        found += _faults_of_replicas(config, info, place, redis)
    for key in PROBED_KEYS:
        found += await _faults_of_user(redis, key)
    return list(dict.fromkeys(found))  # each once, however many nodes have it


def fit(faults: list[Fault]) -> list[Fault]:
    """Return the faults of a cache with which a service may start.

    Raises UnfitCacheError where it must not.
    """
    for fault in faults:
        if fault.refuse:
            raise UnfitCacheError(str(fault))
    return faults


async def faults_at(url: str, answer_s: float = 2.0) -> list[Fault]:
    """As `cache_faults`, of the cache at an address; why it cannot be spoken to is a fault as well.

    Raises ValueError for no address, and redis-py's ConnectionError or TimeoutError when nothing answers.
    """
    from redis.exceptions import RedisError

    from launchday.resilience.cache_diagnosis import why_not
    from launchday.resilience.sockets import redis_client

    async with redis_client(url, connections=1, answer_s=answer_s) as cache:
        try:
            return await cache_faults(cache)
        except (RedisError, OSError) as error:
            if fault := await why_not(CacheAddress.of(url), error):
                return [fault]
            raise


def _faults_of_address(info: Mapping[str, Any], place: Mapping[str, Any], cluster: bool) -> list[Fault]:
    """That another address is needed: nothing else can be asked then."""
    if "sentinel" in (info.get("redis_mode"), info.get("server_mode")):
        masters = (each for field, each in info.items() if re.fullmatch(r"master\d+", field))
        name = next((each["name"] for each in masters if isinstance(each, dict)), "NAME")
        return [SENTINEL_ADDRESS.fault("this is a Sentinel, which keeps no data", **place, name=name)]
    if not cluster and info.get("cluster_enabled") == 1 and int(info.get("cluster_known_nodes", 2)) > 1:
        return [CLUSTER_ADDRESS.fault("this is one node of a cluster, and keys lie on all of them", **place)]
    if info.get("role", "master") != "master":
        master = {**place, "host": info.get("master_host", "HOST"), "port": info.get("master_port", "PORT")}
        return [PRIMARY.fault("the cache is a replica, which takes no changes", **master)]
    return []


def _faults_of_version(info: Mapping[str, Any]) -> list[Fault]:
    text = str(info.get("redis_version", ""))
    numbers = tuple(int(each) for each in text.split(".")[:2] if each.isdigit())
    if not numbers or numbers >= OLDEST:
        return []
    oldest = ".".join(map(str, OLDEST))
    return [VERSION.fault(f"the cache is Redis {text}, which lacks what scripts use", oldest=oldest)]


def _faults_of_memory(config: Mapping[str, str], info: Mapping[str, Any]) -> list[Fault]:
    policy = config.get("maxmemory-policy") or info.get("maxmemory_policy")
    append_only = config.get("appendonly") or {0: "no", 1: "yes"}.get(info.get("aof_enabled", -1))
    synced = config.get("appendfsync", "always")
    faults = []
    if policy is None:
        faults.append(
            Fault(
                False,
                "the cache does not tell what it does when it is full",
                f"see to it that its maxmemory-policy is {SAFE_POLICY}",
            )
        )
    elif policy != SAFE_POLICY:
        faults.append(
            EVICTION.fault(
                f"the cache evicts keys when it is full (maxmemory-policy {policy}), accepted changes too"
            )
        )
    if append_only == "no":
        faults.append(
            APPEND_ONLY.fault(
                "the cache has no append-only file: what is not in the store yet is lost when it ends"
            )
        )
    elif append_only == "yes" and synced != "always":
        faults.append(
            SYNCED.fault(f"the cache's file is synced {synced}: a power cut loses the last changes")
        )
    return faults


def _faults_of_replicas(
    config: Mapping[str, str], info: Mapping[str, Any], place: Mapping[str, Any], redis: Redis
) -> list[Fault]:
    from launchday.resilience.cache_client import BoundedRedis

    faults = []
    if config.get("cluster-require-full-coverage") == "yes" and info.get("cluster_enabled") == 1:
        faults.append(
            FULL_COVERAGE.fault(
                "a part of the cluster without a node stops all of it, not only its own players"
            )
        )
    replicas = info.get("connected_slaves")
    if replicas is None:
        return faults
    if info.get("cluster_enabled") == 1 and not replicas and int(info.get("cluster_known_nodes", 0)) > 1:
        faults.append(
            REPLICATED.fault(
                f"the primary at {place['host']}:{place['port']} has no replica", node=info.get("node", "ID")
            )
        )
    wanted = redis.state.replicas.count if isinstance(redis, BoundedRedis) else 0
    if wanted > replicas:
        faults.append(
            ENOUGH_REPLICAS.fault(
                f"{wanted} replicas must have each change, and the primary at "
                f"{place['host']}:{place['port']} has {replicas}: every change is refused",
                count=replicas,
            )
        )
    return faults


async def _faults_of_user(redis: Redis, key: str) -> list[Fault]:
    """What the user must not do, of what services do: queued in a transaction that is discarded."""
    from redis.exceptions import NoPermissionError

    from launchday.resilience import packed
    from launchday.resilience.cache_calls import NodeState, Packed, converse
    from launchday.resilience.cache_client import node_of

    node = await node_of(redis, key)

    async def ask(*commands: tuple[Any, ...]) -> list[Any]:
        sent = [packed.begin(len(each)) + packed.pack(each) for each in commands]
        return await converse(node, NodeState(), [Packed(key, each) for each in sent])

    user = node.connection_pool.connection_kwargs.get("username") or "default"
    (begun, _) = await ask(("MULTI",), ("DISCARD",))
    if isinstance(begun, NoPermissionError):
        return [COMMANDS.fault("the user must not use MULTI", user=user, rule="+multi +exec +discard")]
    commands = [tuple(key if each == "k" else each for each in command) for command in NEEDED_COMMANDS]
    _, *answers, _ = await ask(("MULTI",), *commands, ("DISCARD",))
    refused = [
        (command[0].lower(), str(answer))
        for command, answer in zip(commands, answers, strict=True)
        if isinstance(answer, NoPermissionError)
    ]
    names = [name for name, said in refused if " key" not in said.lower()]
    faults = []
    if names:
        rule = " ".join(f"+{name}" for name in names)
        faults.append(COMMANDS.fault(f"the user must not use {', '.join(names)}", user=user, rule=rule))
    if len(names) < len(refused):
        tag = key.partition("}")[0] + "*"
        faults.append(COMMANDS.fault(f"the user must not touch keys like {key}", user=user, rule=f"~{tag}"))
    return faults


async def _ask_config(redis: Redis) -> dict[str, str]:
    from redis.exceptions import ResponseError

    names = ("maxmemory-policy", "appendonly", "appendfsync", "cluster-require-full-coverage")
    try:
        found = await cast(Any, redis.config_get(*names))
    except ResponseError:  # managed caches forbid it, and Redis before 7 takes one name
        return {}
    return {_text(name): _text(value) for name, value in found.items()}


async def _ask_info(redis: Redis) -> dict[str, Any]:
    """INFO, and in a cluster what CLUSTER INFO says, with ``node``: the id."""
    from redis.exceptions import ResponseError

    found: dict[str, Any] = {}
    for section in ("server", "memory", "persistence", "replication", "cluster", "sentinel"):
        try:
            found |= await cast(Any, redis.info(section))
        except ResponseError:
            continue
    if found.get("cluster_enabled") == 1:
        try:
            told = await redis.execute_command("CLUSTER INFO")  # type: ignore[no-untyped-call]
            found |= told if isinstance(told, dict) else dict(_lines(_text(told)))
            found["node"] = _text(await redis.execute_command("CLUSTER MYID"))  # type: ignore[no-untyped-call]
        except ResponseError:
            pass
    return found


def _place(node: Redis) -> dict[str, Any]:
    """Scheme, host and port of a node, for the lines to type."""
    from redis.asyncio import SSLConnection

    told = node.connection_pool.connection_kwargs
    return {
        "scheme": "rediss" if issubclass(node.connection_pool.connection_class, SSLConnection) else "redis",
        "host": told.get("host", "HOST"),
        "port": told.get("port", "PORT"),
    }


def _lines(text: str) -> Iterable[tuple[str, str]]:
    return ((name, value.strip()) for name, _, value in (line.partition(":") for line in text.splitlines()))


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
