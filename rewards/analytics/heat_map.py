"""A picture of where players died: the brighter, the more deaths."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from launchday.outputs import write_whole
from rewards.analytics import query
from rewards.errors import QueryError

CELLS = 64  # on a side; a map of 2 km has cells of 31 m
CELL_PIXELS = 12
MARGIN = 28
# Dark violet over red to pale yellow: brightness grows all the way, so it reads in grey as well.
_STOPS = np.array(
    [[8, 6, 24], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]], dtype=np.float64
)


def counts(x_m: npt.NDArray[np.float64], y_m: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.int64], float]:
    """Count the deaths in each cell of a square that holds all of them.

    Args:
        x_m, y_m: float64[n], where players died.

    Returns:
        the counts, int64[CELLS, CELLS] with row 0 in the north, and half the side of the square in metres.
    """
    half_m = float(max(np.abs(x_m).max(), np.abs(y_m).max(), 1.0))
    found, _, _ = np.histogram2d(-y_m, x_m, bins=CELLS, range=[[-half_m, half_m], [-half_m, half_m]])
    return found.astype(np.int64), half_m


def draw(folder: Path, picture: Path) -> int:
    """Draw the deaths of the lake in ``folder`` into a PNG file.

    Returns:
        the number of deaths.

    Raises:
        QueryError: nobody has died.
        OutputError: the file cannot be written.
    """
    rows = query.run(
        folder, "SELECT at_x_m, at_y_m FROM death WHERE isfinite(at_x_m) AND isfinite(at_y_m)"
    ).rows
    if not rows:
        raise QueryError(f"nobody has died yet in {folder}: there is nothing to draw; --folder names another")
    x_m, y_m = np.array(rows, dtype=np.float64).T
    found, half_m = counts(x_m, y_m)
    # The square root of the share: a cell with a tenth of the brightest one's deaths is still well visible.
    shade = np.sqrt(found / found.max())
    levels = np.linspace(0.0, 1.0, len(_STOPS))
    pixels = np.stack([np.interp(shade, levels, channel) for channel in _STOPS.T], axis=-1).astype(np.uint8)
    side = CELLS * CELL_PIXELS
    image = Image.new("RGB", (side, side + MARGIN), (8, 6, 24))
    image.paste(Image.fromarray(pixels).resize((side, side), Image.Resampling.NEAREST), (0, 0))
    side_m = 2 * half_m
    brightest = f"brightest: {found.max():,} in a cell of {side_m / CELLS:.0f} m"
    words = f"{len(rows):,} deaths; {side_m:,.0f} m a side; {brightest}"
    ImageDraw.Draw(image).text((8, side + 8), words, fill=(230, 230, 230))
    drawn = io.BytesIO()
    image.save(drawn, format="PNG")
    write_whole(picture, drawn.getvalue())
    return len(rows)
