"""Fills the parts of README.md that are made from the cards: ``python -m pipelines.readme``."""

from __future__ import annotations

import re
from pathlib import Path

from medsr.models.card import cards

README = Path(__file__).parents[1] / "README.md"


def methods_table() -> str:
    """The methods as a Markdown table."""
    rows = ["| method | what it does | learned | promises of the data residual |", "|---|---|---|---|"]
    for card in cards().values():
        promise = card.promise
        kept = [
            f"{text}"
            for bound, text in (
                (promise.exact, f"≤ {promise.exact:g} ‖y‖ without noise" if promise.exact else ""),
                (promise.noisy, f"≤ {promise.noisy:g} σ√N with noise" if promise.noisy else ""),
            )
            if bound
        ]
        learned = "yes" if card.learned else "no"
        rows.append(f"| `{card.name}` | {card.summary} | {learned} | {', '.join(kept) or 'none'} |")
    return "\n".join(rows)


def filled(text: str) -> str:
    """`text` with the part between the marks ``<!-- methods -->`` and ``<!-- /methods -->`` made anew."""
    pattern = r"(<!-- methods -->\n).*?(\n<!-- /methods -->)"
    return re.sub(pattern, lambda m: m[1] + methods_table() + m[2], text, flags=re.DOTALL)


if __name__ == "__main__":
    README.write_text(filled(README.read_text(encoding="utf-8")), encoding="utf-8")
