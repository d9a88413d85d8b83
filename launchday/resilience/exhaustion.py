"""Errors that say that this process, or this machine, has run out of something, and nothing of a peer."""

from __future__ import annotations

import errno

# What a connection cannot be taken for; asking again at once would only spin.
EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
REMEDIES = {
    errno.EMFILE: "this process has no descriptor left: raise ulimit -Hn",
    errno.ENFILE: "this machine has no descriptor left: raise fs.file-max",
    errno.EADDRNOTAVAIL: "this machine has no local port left: widen net.ipv4.ip_local_port_range",
}


def own_shortage(error: BaseException | None) -> str | None:
    """Say what is lacking here where an error, or what has caused it, means that; None where it does not."""
    seen: set[int] = set()
    ahead = [error]
    while ahead:
        each = ahead.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, OSError) and each.errno in REMEDIES:
            return REMEDIES[each.errno]
        ahead += [each.__cause__, each.__context__]
        if isinstance(each, BaseExceptionGroup):
            ahead += each.exceptions
    return None
