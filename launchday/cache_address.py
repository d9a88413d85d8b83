"""Addresses of a Valkey or Redis: one node, a cluster, or what Sentinels watch; and what is said in them.

``redis://USER:PASSWORD@HOST:PORT/DB``, ``redis+cluster://…@HOST:PORT,HOST:PORT`` and
``redis+sentinel://…@HOST:PORT,HOST:PORT/NAME/DB``; with ``rediss`` over TLS, whose certificates are checked.
What follows ``?`` goes to redis-py (``ssl_ca_certs``, ``ssl_certfile``, ``ssl_keyfile``, …) but for what is
read here, see `CacheAddress`. Services are handed one address and nothing beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

SCHEMES = {
    f"redis{secure}{kind}": (kind[1:] or "node", bool(secure))
    for secure in ("", "s")
    for kind in ("", "+cluster", "+sentinel")
}
PORTS = {"node": 6379, "cluster": 6379, "sentinel": 26379}
DEFAULT_WAIT_MS = 500


@dataclass(frozen=True, slots=True)
class CacheAddress:
    """What an address says.

    Attributes:
        kind: "node", "cluster" or "sentinel".
        hosts: (host, port) of the node, of some of the cluster's, or of the Sentinels.
        name: of what the Sentinels watch; empty for the others.
        node_url: redis:// or rediss:// address with user, password, database and what redis-py is told, of
            the first host; "" for a Unix socket's.
        tls: whether it is spoken over TLS.
        password_file: file with the password, read at each connection; empty: there is none.
        wait_replicas: replicas that must have a change before it is acknowledged; 0: none.
        wait_ms: milliseconds that they may take.
        sentinel: user and password of the Sentinels themselves, as redis-py calls them.
    """

    kind: str
    hosts: tuple[tuple[str, int], ...]
    name: str
    node_url: str = field(repr=False)
    tls: bool
    password_file: str = ""
    wait_replicas: int = 0
    wait_ms: int = DEFAULT_WAIT_MS
    sentinel: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, url: str) -> CacheAddress:
        """Read an address. Raises ValueError, with what an address looks like and never with a password."""
        parts = urlsplit(url)
        if parts.scheme == "unix":
            return cls("node", (), "", url, tls=False)
        if parts.scheme not in SCHEMES:
            raise ValueError(
                "an address of a cache begins with redis://, rediss://, redis+cluster:// or redis+sentinel://"
            )
        kind, tls = SCHEMES[parts.scheme]
        kind_end = "" if kind == "node" else f"+{kind}"
        login, at, places = parts.netloc.rpartition("@")
        hosts = tuple(_place(place, PORTS[kind]) for place in places.split(",") if place)
        if not hosts or (kind == "node" and len(hosts) > 1):
            raise ValueError(
                f"{parts.scheme}:// needs {'one HOST:PORT' if kind == 'node' else 'HOST:PORT,HOST:PORT'}"
            )
        name, database = "", parts.path.strip("/")
        if kind == "sentinel":
            name, _, database = database.partition("/")
            if not name:
                raise ValueError(f"{parts.scheme}:// needs the name of what they watch: …/NAME or …/NAME/DB")
        if kind == "cluster" and database not in ("", "0"):
            raise ValueError(f"a cluster has one database: leave /{database} out")
        query = dict(parse_qsl(parts.query))
        if not tls and (named := [each for each in query if each.startswith("ssl_")]):
            raise ValueError(f"{named[0]} is for TLS, and {parts.scheme}:// is without: rediss{kind_end}://…")
        own = {
            "password_file": query.pop("password_file", ""),
            "wait_replicas": _number(query, "wait_replicas", 0),
            "wait_ms": _number(query, "wait_ms", DEFAULT_WAIT_MS),
        }
        sentinel = {
            each: query.pop(f"sentinel_{each}")
            for each in ("username", "password")
            if f"sentinel_{each}" in query
        }
        host, port = hosts[0]
        node = f"{login}{at}{_in_url(host)}:{port}"
        scheme = "rediss" if tls else "redis"
        node_url = urlunsplit((scheme, node, f"/{unquote(database) or 0}", urlencode(query), ""))
        return cls(kind, hosts, unquote(name), node_url, tls, **own, sentinel=sentinel)  # type: ignore[arg-type]


SETTINGS = {
    "cache_password_file": "password_file",
    "cache_ca": "ssl_ca_certs",
    "cache_certificate": "ssl_certfile",
    "cache_certificate_key": "ssl_keyfile",
    "cache_wait_replicas": "wait_replicas",
    "cache_wait_ms": "wait_ms",
}
"""Settings to the parameters of an address."""


def parameters(settings: Mapping[str, Any]) -> dict[str, str]:
    """What settings add to the address of a cache; {} where it is complete."""
    found = {SETTINGS[name]: str(settings[name]) for name in SETTINGS if settings.get(name)}
    if found.get("wait_replicas", "0") == "0":
        found = {name: value for name, value in found.items() if not name.startswith("wait")}
    return found


def completed(url: str, more: Mapping[str, str]) -> str:
    """The address with parameters, but for those that it has already."""
    parts = urlsplit(url)
    query = {**more, **dict(parse_qsl(parts.query, True))}
    return urlunsplit(parts._replace(query=urlencode(query, safe="/")))


def _place(text: str, port: int) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    try:
        return parts.hostname or "localhost", parts.port or port
    except ValueError:
        raise ValueError(f"{text!r} is no HOST:PORT") from None


def _number(query: dict[str, str], name: str, default: int) -> int:
    text = query.pop(name, "")
    if text and not (text.isascii() and text.isdigit()):
        raise ValueError(f"{name} is a whole number, not {text!r}")
    return int(text) if text else default


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else quote(host)
