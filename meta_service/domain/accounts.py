"""The player that a device belongs to: the id, which follows from the device's, and a player's first values.

The id is a hash of the device id. So a login gives the same player in every region, while the store does
not answer, and after the cache was lost, and nobody has to hand out numbers. Among a million players two
devices get the same id with a chance of 5·10⁻⁸. The account's full hash tells them apart, and the second
device takes its next candidate.
"""

from __future__ import annotations

import hashlib
import re

from meta_service.errors import PlaceholderDeviceError

CANDIDATES = 4  # needing even the second is rare, see above
DEFAULT_MU = 25.0  # OpenSkill's prior
DEFAULT_SIGMA = 8.333
_HASH_PERSON = b"launchday-device"  # another use of the same device id gives another hash
_PLATFORM_PERSON = b"launchday-platfm"

# What devices send that have no id, by letters and digits alone. Whoever sends one shares it with millions.
PLACEHOLDERS = frozenset(
    {
        "020000000000",  # the MAC address that iOS and Android give since 2013 and 2015
        "9774d56d682e549c",  # ANDROID_ID of many devices with Android 2.2
        "004999010640000",  # IMEIs and ids of emulators and clones
        "358240051111110",
        "012345678912345",
        "0123456789abcdef",
        "dead00beef",
        "deadbeefdeadbeef",
        "undefined",
        "notavailable",
        "unavailable",
        "androidid",
        "deviceid",
        "placeholder",
        "tobefilledbyoem",
        "defaultstring",
        "systemserialnumber",
        "unknownunknown",
    }
)
_HEX = re.compile(r"[0-9a-f]+")
_ROWS = ("0123456789", "0123456789abcdef", "abcdefghijklmnopqrstuvwxyz")


def device_hash(device_id: str) -> bytes:
    """The 32 bytes that identify an account; the device id itself, which is a credential, is kept nowhere."""
    return hashlib.blake2b(device_id.encode(), digest_size=32, person=_HASH_PERSON).digest()


def platform_hash(issuer: str, subject: str) -> bytes:
    """The 32 bytes that identify a platform's identity, as `device_hash` does for a device."""
    text = f"{len(issuer)}:{issuer}{subject}".encode()
    return hashlib.blake2b(text, digest_size=32, person=_PLATFORM_PERSON).digest()


def check_device(device_id: str) -> None:
    """Raise PlaceholderDeviceError for an id that stands for nobody: all who send it would be one player."""
    bare = re.sub(r"[^0-9a-z]", "", device_id.lower())
    # Nearly one digit throughout: zeros, also with the version of a UUID among them. By chance never.
    most = max((bare.count(one) for one in set(bare)), default=0)
    is_blank = most == len(bare) or (len(bare) >= 12 and _HEX.fullmatch(bare) and most >= 0.8 * len(bare))
    is_pattern = is_blank or _repeats(bare) or _counts_up(bare)
    if is_pattern or bare in PLACEHOLDERS or bare.startswith("unknown"):
        raise PlaceholderDeviceError(
            "this device id is one that many devices send: make a random one (a UUID), and keep it"
        )


def _repeats(bare: str) -> bool:
    """Whether it is a few characters again and again, such as "nullnull", or "deadbeef" four times."""
    return any(bare == (bare[:n] * len(bare))[: len(bare)] for n in range(1, min(8, len(bare) // 2) + 1))


def _counts_up(bare: str) -> bool:
    """Whether it is the row of digits or letters, from wherever it begins."""
    return len(bare) >= 8 and any(bare in row * 4 or bare in row[::-1] * 4 for row in _ROWS)


def candidate_ids(device: bytes) -> list[int]:
    """The player ids a device may have, in the order to try: positive, 63 bits."""
    step = 32 // CANDIDATES
    words = (device[start : start + step] for start in range(0, 32, step))
    return [(int.from_bytes(word, "big") >> 1) or 1 for word in words]


def default_name(player_id: int) -> str:
    """The name a player has until they choose one."""
    return f"Player {player_id % 1_000_000:06d}"
