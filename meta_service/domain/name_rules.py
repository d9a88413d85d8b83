"""What may be a display name, and which names are too alike to be two players'.

A name is what RFC 8266 (PRECIS, the profile of nicknames) makes of what was typed: spaces trimmed and made
one, compatibility forms folded; control, format and direction characters and whatever Unicode has not
assigned are refused. PRECIS knows no emoji sequences, whose joiners it takes for format characters. So emoji
are taken out before it looks, as UTS #51 defines them, and put back after.

Two names are too much alike when they have a key in common. One key is the case-folded name: "нина" and
"НИНА" are one name. The other is the skeleton of UTS #39 (look-alikes of all scripts) as the name is shown,
for what looks alike in small letters need not in capitals: with a Greek ν "νan" is "van", and "ΝΑΝ" is "NAN".
Neither has spaces.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

import disarm
from precis_i18n import get_profile

from meta_service.errors import BadNameError

MAX_GRAPHEMES = 24  # what a player sees as a character; a scoreboard has room for so many
MAX_BYTES = 128  # of UTF-8: a family of four takes 25; it is in every read of a profile
MAX_MARKS = 3  # of one kind on one letter; Vietnamese needs two

_EMOJI = "\u263a"  # stands for each emoji while PRECIS looks; no other text becomes it
_PROFILE = get_profile("NicknameCasePreserved")
# As accounts.default_name makes them, of any length; in a skeleton 0 is o and 1 is l.
_DEFAULT_NAME = re.compile(r"player[0-9ol]+")


@dataclass(frozen=True, slots=True)
class DisplayName:
    """A name that may be taken.

    Attributes:
        text: as it is shown.
        keys: of which two names that are too much alike have one in common; sorted.
    """

    text: str
    keys: tuple[str, ...]


def checked_name(typed: str) -> DisplayName:
    """Return the name that was typed, in the form in which it is shown. Raises BadNameError."""
    if len(typed.encode(errors="surrogatepass")) > 4 * MAX_BYTES:
        raise BadNameError(f"a name has at most {MAX_GRAPHEMES} characters")
    text = _by_precis(typed)
    if disarm.grapheme_len(text) > MAX_GRAPHEMES or len(text.encode()) > MAX_BYTES:
        raise BadNameError(f"a name has at most {MAX_GRAPHEMES} characters and {MAX_BYTES} bytes")
    if disarm.is_zalgo(text, threshold=MAX_MARKS):
        raise BadNameError("a name has at most three marks on a letter")
    if any(unicodedata.category(word[0]).startswith("M") for word in text.split()):
        raise BadNameError("a mark of a name has a letter before it: a word does not begin with one")
    if disarm.has_bidi_conflict(text, per_word=True):
        raise BadNameError("a word of a name is written from left to right or from right to left, not both")
    keys = name_keys(text)
    if not keys:
        raise BadNameError("a name needs a letter, a digit or an emoji")
    if any(_DEFAULT_NAME.fullmatch(key.partition(":")[2]) for key in keys):
        raise BadNameError("a name must not look like one that nobody has chosen, such as Player 000000")
    return DisplayName(text, keys)


def name_keys(text: str) -> tuple[str, ...]:
    """Return the keys of a name, sorted; empty where nothing of it can be seen."""
    digits = "".join(str(unicodedata.decimal(one, one)) for one in text)
    looks = _skeleton(digits)
    if not looks:
        return ()
    folded = _bare(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", digits).casefold()))
    return tuple(sorted({f"case:{folded}", f"look:{looks}"}))


def _skeleton(text: str) -> str:
    skeleton = disarm.skeleton_key(text, digit_policy="tr39")
    # Of those that the library keeps apart: r and n are read as m; and it takes a capital I for an l, so that
    # names in capitals need the small i among these, too.
    return _bare(skeleton).replace("rn", "m").replace("i", "l")


def _bare(text: str) -> str:
    """Without spaces, and what no eye sees: joiners, the form asked of an emoji, a dot on an i."""
    return re.sub(r"[\s\u200c\u200d\ufe0e\ufe0f]", "", text.replace("i\u0307", "i"))


def _by_precis(typed: str) -> str:
    try:
        typed.encode()
    except UnicodeEncodeError as error:
        raise BadNameError("the name is no text") from error
    emoji: list[str] = []
    plain = []
    for cluster in disarm.grapheme_split(typed):
        if cluster == _EMOJI or disarm.replace_emoji(cluster, "") == "":
            emoji.append(cluster)
            plain.append(_EMOJI)
        else:
            plain.append(cluster)
    try:
        kept = _PROFILE.enforce("".join(plain))
    except UnicodeEncodeError as error:
        if error.reason.endswith("/empty"):
            raise BadNameError("a name needs a letter, a digit or an emoji") from error
        place = error.object[error.start : error.end] if error.object else ""
        shown = " ".join(f"U+{ord(one):04X}" for one in place)
        raise BadNameError(f"a name must not have {shown or 'such characters'}: choose another") from error
    left = iter(emoji)
    return "".join(next(left) if one == _EMOJI else one for one in kept)
