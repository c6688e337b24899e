"""The curves of a training run as a picture, drawn without a plotting library."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 640, 300, 60, 40, 40
COLOURS = ("#1f6feb", "#d1570a", "#2a8f3c", "#8a4fc7", "#b3261e", "#5f6b7a", "#b08900", "#00808a")


def draw_curves(steps: Sequence[int], panels: dict[str, dict[str, list[float]]], path: Path) -> None:
    """Writes an SVG: one panel a title, one line a name, a point a step."""
    body = "".join(_panel(steps, curves, title, i * HEIGHT) for i, (title, curves) in enumerate(panels.items()))
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {len(panels) * HEIGHT}" width="{WIDTH}" '
        f'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>{body}</svg>\n',
        encoding="utf-8",
    )


def _panel(steps: Sequence[int], curves: dict[str, list[float]], title: str, shift: int) -> str:
    values = [v for curve in curves.values() for v in curve] or [0.0]
    low, high = min(0.0, *values), max(*values, 0.0) or 1.0
    most = max(steps, default=1)

    def place(step: float, value: float) -> str:
        x = LEFT + (WIDTH - LEFT - 20) * step / most
        y = shift + TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / (high - low)
        return f"{x:.1f},{y:.1f}"

    parts = [f'<text x="{LEFT}" y="{shift + 20}" font-weight="bold">{escape(title)}</text>']
    for value in (low, (low + high) / 2, high):
        x, y = place(0, value).split(",")
        end = place(most, value).split(",")[0]
        parts.append(f'<line x1="{x}" x2="{end}" y1="{y}" y2="{y}" stroke="#d0d7de"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{float(y) + 4}" text-anchor="end">{value:.3g}</text>')
    for step in (0, most):
        x = place(step, low).split(",")[0]
        parts.append(f'<text x="{x}" y="{shift + HEIGHT - BOTTOM + 16}" text-anchor="middle">{step}</text>')
    for number, (name, curve) in enumerate(curves.items()):
        colour = COLOURS[number % len(COLOURS)]
        line = " ".join(place(s, v) for s, v in zip(steps, curve, strict=True))
        parts.append(f'<polyline fill="none" stroke="{colour}" stroke-width="1.5" points="{line}"/>')
        place_x = LEFT + 8 + (number % 4) * 145
        place_y = shift + HEIGHT - 8 - 14 * (number // 4)
        parts.append(f'<text x="{place_x}" y="{place_y}" fill="{colour}">{escape(name)}</text>')
    return "".join(parts)
