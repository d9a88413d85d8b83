"""Distances between players and fleets: published round-trip times between 50 cloud regions.

``data/region_rtt.csv`` holds medians in milliseconds; rows are sources, columns destinations. Names become
slugs: lower case, spaces to dashes. Three kinds of cells are empty:

- a region to itself: never published. Assumed ``SAME_REGION_RTT_MS``.
- one direction only (10 pairs): the other direction is used; where both are published they differ by 0.7 ms
  on average, 6 at most.
- neither direction (91 cells, mostly Jio India West): unknown. Such a player cannot be offered that region.
"""

from __future__ import annotations

import csv
import difflib
import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from loadtest.errors import UnknownRegionError

DATA_FILE = Path(__file__).parent / "data" / "region_rtt.csv"

# A player in the fleet's own region. The smallest published figure is 3 ms, between two regions of one city
# (Canberra); inside a region the path is shorter still, so 2 ms. A player's own access line comes on top of
# it, from the scenario.
SAME_REGION_RTT_MS = 2.0
NEAR_NAMES = 4


def slug(name: str) -> str:
    """Turn a region's published name into the one used everywhere here: ``West Europe`` → ``west-europe``."""
    return "-".join(name.lower().split())


class RegionTable:
    """Round-trip times between regions.

    Attributes:
        names: slugs of all regions, sorted.
        rtt_ms: float64[n, n], from row to column, NaN where nothing is published.
    """

    def __init__(self, names: Sequence[str], rtt_ms: npt.NDArray[np.float64]) -> None:
        self.names = tuple(names)
        self.rtt_ms = rtt_ms
        self._index = {name: index for index, name in enumerate(self.names)}

    @classmethod
    def read(cls, path: Path) -> RegionTable:
        """Read a table in the layout of region_rtt.csv, and fill its empty cells as the module's docstring
        says.
        """
        with path.open(newline="", encoding="utf-8") as file:
            header, *rows = csv.reader(file)
        columns = [slug(name) for name in header[1:]]
        names = sorted({*columns, *(slug(row[0]) for row in rows)})
        index = {name: position for position, name in enumerate(names)}
        published = np.full((len(names), len(names)), np.nan)
        for row in rows:
            for column, cell in zip(columns, row[1:], strict=True):
                if cell:
                    published[index[slug(row[0])], index[column]] = float(cell)
        rtt_ms = np.where(np.isnan(published), published.T, published)
        np.fill_diagonal(rtt_ms, SAME_REGION_RTT_MS)
        return cls(names, rtt_ms)

    def index(self, name: str) -> int:
        """The row of a region. Raises UnknownRegionError, which lists names near to the one given."""
        if name not in self._index:
            near = difflib.get_close_matches(slug(name), self.names, n=NEAR_NAMES, cutoff=0.5)
            hint = f"did you mean {', '.join(near)}?" if near else f"the table has {', '.join(self.names)}"
            raise UnknownRegionError(f"unknown region {name!r}: {hint}")
        return self._index[name]

    def rtt_between_ms(self, location: str, region: str) -> float | None:
        """Median round trip from a location to a region in ms, or None where it is not published."""
        rtt_ms = float(self.rtt_ms[self.index(location), self.index(region)])
        return None if np.isnan(rtt_ms) else rtt_ms


@functools.cache
def regions() -> RegionTable:
    """The table that ships with this package."""
    return RegionTable.read(DATA_FILE)
