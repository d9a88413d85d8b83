"""A machine that is short of something, or odd: namespaces, mounts, limits and users for one command.

``python -m loadtest.bench.environments.spaces SPACE COMMAND …`` makes the space (`Space` as JSON) and becomes
the command. Nothing outside is changed, and it ends with the command. Root is needed for another user's files
alone (`Space.user`); for the rest users' namespaces do, where the system has them.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import socket
import sys
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from launchday import child_processes
from loadtest.bench.loopback import raise_loopback

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWUSER, CLONE_NEWNET = 0x20000, 0x4000000, 0x10000000, 0x40000000
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 0x1, 0x20, 0x1000, 0x4000, 0x40000
MS_RELATIME, ST_RELATIME = 0x200000, 0x1000
LOCKED_FLAGS = 0xC0F  # nosuid, nodev, noexec, noatime, nodiratime: mount(2) and statvfs(3) number them alike
KB = 1 << 10
UNAVAILABLE = 97  # exit code where this machine does not let us make the space
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Space:
    """What is odd about the machine; the default is the machine as it is.

    Attributes:
        small: folders that are file systems of so many KB.
        full: those of them that are filled to the last byte.
        read_only: folders that cannot be written.
        bound: folders by the name under which they are there once more.
        uid: the user that the command seems to be, who has no entry in passwd; files stay those of whoever
            runs the bench.
        user: the user that the command really is; needs root.
        network: "" as it is; "own": a loopback alone; "no_ipv6": that without IPv6; "down": nothing.
        hostname: the machine's name.
        limits: soft and hard limit by the name that `resource` has for it, such as RLIMIT_NOFILE.
        memory_cgroup: the folder of the memory cgroup that the command and its children belong to.
        umask: of the command.
        ignored, blocked: signals, by their names, that the command begins with as ignored or blocked.
    """

    small: Mapping[str, int] = field(default_factory=dict)
    full: tuple[str, ...] = ()
    read_only: tuple[str, ...] = ()
    bound: Mapping[str, str] = field(default_factory=dict)
    uid: int | None = None
    user: int | None = None
    network: str = ""
    hostname: str = ""
    limits: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    memory_cgroup: str = ""
    umask: int | None = None
    ignored: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()

    def command(self, *command: str) -> list[str]:
        """The command line that runs ``command`` in this space."""
        return [
            sys.executable,
            "-m",
            "loadtest.bench.environments.spaces",
            json.dumps(asdict(self)),
            *command,
        ]

    def enter(self) -> None:
        """Make the space and move this process into it. Raises OSError where the system does not let us."""
        uid, gid = os.geteuid(), os.getegid()
        mounts = self.small or self.read_only or self.bound or self.user is not None
        kinds = CLONE_NEWNS if mounts else 0
        kinds |= CLONE_NEWNET if self.network else 0
        kinds |= CLONE_NEWUTS if self.hostname else 0
        if self.memory_cgroup:
            Path(self.memory_cgroup, "cgroup.procs").write_text(str(os.getpid()))
        lent = bool(kinds) and uid != 0
        if lent:
            _become(0, 0)
        if kinds:
            _check(_libc.unshare(kinds), "namespaces")
        if kinds & CLONE_NEWNS:
            self._mount()
        if self.network == "no_ipv6":
            Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").write_text("1")
        if self.network in ("own", "no_ipv6"):
            raise_loopback()
        if self.hostname:
            socket.sethostname(self.hostname)
        for name, (soft, hard) in self.limits.items():
            resource.setrlimit(getattr(resource, name), (soft, hard))
        if self.user is not None:
            os.setgroups([])
            os.setresgid(self.user, self.user, self.user)
            os.setresuid(self.user, self.user, self.user)
        elif self.uid is not None or lent:
            _become(uid if self.uid is None else self.uid, gid if self.uid is None else self.uid)
        if self.umask is not None:
            os.umask(self.umask)
        for name in self.ignored:
            signal.signal(getattr(signal, name), signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, [getattr(signal, name) for name in self.blocked])
        child_processes.die_with_parent(os.getppid())  # which a change of user has taken back

    def _mount(self) -> None:
        _mount("none", "/", "", MS_REC | MS_PRIVATE)
        if self.user is not None:
            _let_others_reach({Path(sys.base_prefix), Path(sys.prefix)})
        for folder, size_kb in self.small.items():
            _mount("tmpfs", folder, "tmpfs", 0, f"size={size_kb}k,mode=1777")
        for name, folder in self.bound.items():
            _mount(folder, name, "", MS_BIND | MS_REC)
        for folder in self.full:
            _fill(Path(folder))
        for folder in self.read_only:
            _mount(folder, folder, "", MS_BIND | MS_REC)
            found = os.statvfs(folder).f_flag  # what is locked has to be said again
            flags = found & LOCKED_FLAGS | (MS_RELATIME if found & ST_RELATIME else 0)
            _mount("none", folder, "", MS_REMOUNT | MS_BIND | MS_RDONLY | flags)


def _become(uid: int, gid: int) -> None:
    """Be this user to everybody in a new user namespace, and the same as before to the outside."""
    outer_uid, outer_gid = os.geteuid(), os.getegid()
    _check(_libc.unshare(CLONE_NEWUSER), "users' namespaces")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{uid} {outer_uid} 1")
    Path("/proc/self/gid_map").write_text(f"{gid} {outer_gid} 1")


def _let_others_reach(prefixes: Collection[Path]) -> None:
    """Cover folders above an interpreter that only their owner may pass, and lay it into the cover."""
    held = {prefix: os.open(prefix, os.O_PATH) for prefix in prefixes}
    for closed in [folder for prefix in prefixes for folder in reversed(prefix.parents)]:
        if not closed.exists() or closed.stat().st_mode & 0o1:
            continue
        _mount("tmpfs", str(closed), "tmpfs", 0, "size=64k,mode=755")
    for prefix, descriptor in held.items():
        if not prefix.exists():
            prefix.mkdir(parents=True)
            _mount(f"/proc/self/fd/{descriptor}", str(prefix), "", MS_BIND | MS_REC)
        os.close(descriptor)


def _fill(folder: Path) -> None:
    with (folder / "ballast").open("wb", buffering=0) as ballast:
        for size in (64 * KB, KB, 1):
            try:
                while ballast.write(b"\0" * size):
                    pass
            except OSError:
                continue


def _mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    done = _libc.mount(source.encode(), target.encode(), kind.encode(), flags, data.encode())
    _check(done, f"mount on {target}")


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def main() -> None:
    """Make the space and become the command."""
    given = json.loads(sys.argv[1])
    try:
        Space(**given).enter()
    except OSError as error:
        print(f"root, or users' namespaces ({error.strerror or error})", file=sys.stderr)
        sys.exit(UNAVAILABLE)
    os.execvp(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
