"""Forms of the command line that earlier versions had and that still work."""

from __future__ import annotations

from collections.abc import Sequence


def renewed(arguments: Sequence[str]) -> tuple[list[str], str]:
    """Return the arguments as this version has them, and a line about what was old; "" where nothing was.

    ``run --json FILE`` wrote the figures to a file; that is ``--save`` now, and ``--json`` prints them, as it
    does everywhere.
    """
    found = list(arguments)
    if not found or found[0] != "run":
        return found, ""
    for at, argument in enumerate(found):
        if argument.startswith("--json="):
            found[at] = f"--save={argument.partition('=')[2]}"
        elif argument == "--json" and at + 1 < len(found) and not found[at + 1].startswith("-"):
            found[at] = "--save"
        else:
            continue
        return found, "run --json FILE is --save FILE now; --json alone prints the figures"
    return found, ""
