"""A process that hashes passwords: ``python -m meta_service.domain.hashing_process PARENT``, started by
`hashing`.

It reads orders from its standard input, which is a socket, one after the other, and answers there. A hash
takes 20 ms of a core; in a thread of the API's process it would take turns with the event loop at the
interpreter's lock, and nothing would tell the operating system which of the two players wait for.

It knows argon2id (libsodium's, RFC 9106) and nothing else of this package.
"""

from __future__ import annotations

import functools
import json
import signal
import socket
import sys
from typing import Any

from nacl import pwhash
from nacl.exceptions import CryptoError, InvalidkeyError

from launchday import startup
from launchday.child_processes import die_with_parent

# OWASP's recommendation for argon2id with one lane: 2 passes over 19 MiB; measured 20 to 30 ms on one core.
PASSES = 2
MEMORY_BYTES = 19 * 1024 * 1024


def main() -> int:
    """Answer orders until the other end is closed."""
    die_with_parent(int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's Ctrl-C is the parent's to answer
    with socket.socket(fileno=sys.stdin.fileno()) as orders, orders.makefile("rb") as lines:
        for line in lines:
            try:
                answer = work(json.loads(line))
            except (CryptoError, ValueError, TypeError) as error:
                answer = {"error": repr(error)}
            orders.sendall(json.dumps(answer).encode() + b"\n")
    return 0


def work(order: dict[str, Any]) -> dict[str, Any]:
    """Do one order: ``{"hash": PASSWORD}``, or ``{"verify": PASSWORD, "kept": HASH or null}``."""
    if "hash" in order:
        return {"kept": hash_password(order["hash"])}
    return {"right": verify(order["kept"], order["verify"])}


def hash_password(password: str) -> str:
    """Return the text to store: parameters, salt and hash."""
    kept: bytes = pwhash.argon2id.str(_bytes(password), opslimit=PASSES, memlimit=MEMORY_BYTES)
    return kept.decode()


def verify(kept: str | None, password: str) -> bool:
    """Whether ``password`` is the one whose hash is ``kept``; takes as long where there is none."""
    try:
        pwhash.verify((kept or _nobodys()).encode(), _bytes(password))
    except InvalidkeyError:
        return False
    return kept is not None


def _bytes(password: str) -> bytes:
    return password.encode(errors="surrogatepass")  # JSON can carry halves of a pair


@functools.cache
def _nobodys() -> str:
    return hash_password("the password of nobody")


if __name__ == "__main__":
    startup.prepare()
    sys.exit(main())
