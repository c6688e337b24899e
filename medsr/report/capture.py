"""A report as one picture, for viewers that show nothing else (a PACS)."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from medsr.report.pictures import font, side_by_side
from medsr.result import Result

COLUMNS = 120
LINE = 24


def captured(result: Result, lines: Sequence[str]) -> NDArray[np.uint8]:
    """(rows, columns, 3): before above after, and `lines` of text below them; nothing of the scan's name."""
    from PIL import Image, ImageDraw

    with Image.open(io.BytesIO(side_by_side(result))) as picture:
        figure = picture.convert("RGB")
    flags = [f"{flag.level}: {flag.text}" for flag in result.flags]
    rows = [row for line in (*lines, *flags) for row in textwrap.wrap(line, COLUMNS)]
    page = Image.new("RGB", (figure.width, figure.height + LINE * (len(rows) + 1)), (0, 0, 0))
    page.paste(figure, (0, 0))
    draw = ImageDraw.Draw(page)
    for number, row in enumerate(rows):
        place = (12, figure.height + LINE * number + LINE / 2)
        draw.text(place, row, fill=(235, 235, 235), font=font(16), anchor="lt")
    return np.asarray(page)
