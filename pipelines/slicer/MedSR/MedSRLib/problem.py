"""The one error of this package."""

from __future__ import annotations


class Problem(Exception):  # noqa: N818 - what a user reads is a problem
    """Something that the user has to know, in one clear line: what, and what to do."""

    def __init__(self, text: str) -> None:
        super().__init__(" ".join(text.split()))
