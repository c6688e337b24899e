"""Every bad file gets its one clear line, quickly, without much memory, and nothing is written."""

from __future__ import annotations

import time
import tracemalloc
from pathlib import Path

import pytest

from medsr.errors import MedsrError
from medsr.io import open_header, open_volume
from tests.io.badfiles import BAD_FILES

MEMORY = 96 << 20


def test_there_are_at_least_sixty_kinds() -> None:
    assert len(BAD_FILES) >= 60


@pytest.mark.parametrize("name", BAD_FILES)
def test_refused_in_one_line(name: str, tmp_path: Path) -> None:
    case = BAD_FILES[name]
    path = case.build(tmp_path)
    before = sorted(p.name for p in tmp_path.iterdir())
    tracemalloc.start()
    start = time.monotonic()
    try:
        with pytest.raises(MedsrError) as caught:
            open_volume(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    text = str(caught.value)
    assert caught.value.exit_code == 3, text
    assert case.says in text
    assert path.stem.split(".")[0][:3] in text or path.name in text
    assert str(path.parent) in text
    assert text.isprintable()
    assert "\n" not in text
    assert len(text) < 2000
    assert caught.value.__cause__ is None
    assert time.monotonic() - start < 10
    assert peak < MEMORY, f"{peak / 2**20:.0f} MiB"
    assert sorted(p.name for p in tmp_path.iterdir()) == before


def test_what_the_header_tells_is_known_without_reading_voxels(tmp_path: Path) -> None:
    path = BAD_FILES["huge axes"].build(tmp_path)
    with pytest.raises(MedsrError, match="claims too much"):
        open_header(path)
