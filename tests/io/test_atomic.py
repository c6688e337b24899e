"""All files of a result, or none: cancelled, failed, full disk, names that are taken."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from medsr.errors import OutputError
from medsr.io import atomic, open_volume, save_volume, write_volume
from medsr.io.atomic import PART, Transaction, temporary_name
from medsr.volume import Grid, Volume

POSIX = os.name == "posix"


def volume(size: int = 6) -> Volume:
    data = np.random.default_rng(size).normal(size=(size, 5, 4)).astype("f4")  # does not compress
    return Volume(data, Grid((size, 5, 4), np.eye(4)))


def names(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


def test_files_appear_together(tmp_path: Path) -> None:
    with Transaction() as t:
        first, second = t.path(tmp_path / "a.nii.gz"), t.path(tmp_path / "b.json")
        first.write_text("1")
        second.write_text("2")
        assert first.name.endswith(".nii.gz")
        assert second.suffix == ".json"
        assert not {"a.nii.gz", "b.json"} & set(names(tmp_path))
        assert all(name.startswith(".medsr-") for name in names(tmp_path))
    assert names(tmp_path) == ["a.nii.gz", "b.json"]
    assert (tmp_path / "a.nii.gz").read_text() == "1"


@pytest.mark.skipif(not POSIX, reason="modes are POSIX's")
def test_mode_is_that_of_any_new_file(tmp_path: Path) -> None:
    with Transaction() as t:
        t.path(tmp_path / "a.json").write_text("1")
    (tmp_path / "plain").write_text("")
    assert (tmp_path / "a.json").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, MemoryError, SystemExit])
def test_nothing_is_left_behind(error: type[BaseException], tmp_path: Path) -> None:
    with pytest.raises(error), Transaction() as t:
        t.path(tmp_path / "new" / "deep" / "a.nii").write_text("1")
        t.path(tmp_path / "b.nii")
        raise error
    assert names(tmp_path) == []


def test_what_was_there_stays(tmp_path: Path) -> None:
    (tmp_path / "a.nii").write_text("old")
    with Transaction() as t, pytest.raises(OutputError, match=r"a\.nii: the output exists already; .*--force"):
        t.path(tmp_path / "a.nii")
    with pytest.raises(KeyboardInterrupt), Transaction(force=True) as t:
        t.path(tmp_path / "a.nii").write_text("new")
        raise KeyboardInterrupt
    assert (tmp_path / "a.nii").read_text() == "old"
    with Transaction(force=True) as t:
        t.path(tmp_path / "a.nii").write_text("new")
    assert (tmp_path / "a.nii").read_text() == "new"
    assert names(tmp_path) == ["a.nii"]


def test_a_file_that_came_meanwhile_is_kept(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="exists already"), Transaction() as t:
        t.path(tmp_path / "a.nii").write_text("ours")
        t.path(tmp_path / "b.nii").write_text("ours")
        (tmp_path / "b.nii").write_text("theirs")
    assert names(tmp_path) == ["b.nii"]
    assert (tmp_path / "b.nii").read_text() == "theirs"


@pytest.mark.skipif(not POSIX, reason="links")
def test_a_file_that_came_at_the_last_moment_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic, "check_target", lambda final, force: None)
    with pytest.raises(OutputError, match="exists already"), Transaction() as t:
        t.path(tmp_path / "a.nii").write_text("ours")
        (tmp_path / "a.nii").write_text("theirs")
    assert (tmp_path / "a.nii").read_text() == "theirs"


def test_without_links_it_is_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    with Transaction() as t:
        t.path(tmp_path / "a.nii").write_text("1")
    assert names(tmp_path) == ["a.nii"]


def test_the_last_rename_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = atomic._rename

    def rename(item: atomic._Item, *, keep_existing: bool) -> None:
        if item.final.name == "b.nii":
            raise OSError(errno.EIO, "broken disk")
        real(item, keep_existing=keep_existing)

    monkeypatch.setattr(atomic, "_rename", rename)
    with (
        pytest.raises(OutputError, match=r"b\.nii: the output cannot be written; got broken disk"),
        Transaction() as t,
    ):
        t.path(tmp_path / "a.nii").write_text("1")
        t.path(tmp_path / "b.nii").write_text("2")
    assert names(tmp_path) == []


def test_one_name_twice(tmp_path: Path) -> None:
    with Transaction() as t:
        t.path(tmp_path / "a.nii").write_text("1")
        with pytest.raises(OutputError, match="same name"):
            t.path(tmp_path / "a.nii")


def test_targets_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "folder.nii").mkdir()
    (tmp_path / "file").write_text("")
    for force in (True, False):
        with Transaction(force=force) as t:
            with pytest.raises(OutputError, match="this is a folder"):
                t.path(tmp_path / "folder.nii")
            with pytest.raises(OutputError):
                t.path(tmp_path / "file" / "a.nii")
            with pytest.raises(OutputError, match="cannot be written"):
                t.path(tmp_path / ("x" * 300 + ".nii"))
            with pytest.raises(OutputError, match="cannot be written"):
                t.path(tmp_path / "a\0b.nii")
    with Transaction(make_folders=False) as t, pytest.raises(OutputError, match="no such folder"):
        t.path(tmp_path / "nowhere" / "a.nii")
    assert names(tmp_path) == ["file", "folder.nii"]


@pytest.mark.skipif(not POSIX, reason="links")
def test_a_link_is_replaced_not_followed(tmp_path: Path) -> None:
    (tmp_path / "archive").write_text("precious")
    (tmp_path / "a.nii").symlink_to(tmp_path / "archive")
    with Transaction(force=True) as t:
        t.path(tmp_path / "a.nii").write_text("new")
    assert (tmp_path / "archive").read_text() == "precious"
    assert (tmp_path / "a.nii").read_text() == "new"


@pytest.mark.skipif(not POSIX or os.geteuid() == 0, reason="root may write anywhere")
def test_unwritable_folder(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    with Transaction() as t, pytest.raises(OutputError, match="cannot be written"):
        t.path(tmp_path / "locked" / "a.nii")


def test_unwritable_folder_by_the_systems_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, *args: object, **options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(OutputError, match=r"a\.nii: the output cannot be written; got Permission denied"):
        save_volume(volume(), tmp_path / "a.nii")
    assert names(tmp_path) == []


@pytest.mark.skipif(not POSIX, reason="file size limits")
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha"])
def test_full_disk(suffix: str, tmp_path: Path) -> None:
    """A limit on file sizes stands for a disk that fills up: 20 sizes, none leaves a truncated file."""
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    whole = 0
    for size in range(1, 21):
        path = tmp_path / f"{size}{suffix}"
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
            try:
                save_volume(volume(size), path)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        except OutputError as error:
            assert str(path) in str(error)
            assert "disk is full" in str(error)
            assert "bytes written" in str(error)
            assert not path.exists()
            save_volume(volume(size), path)  # room was made
        else:
            whole += 1
        np.testing.assert_array_equal(open_volume(path).data, volume(size).data)
    assert 0 < whole < 20
    assert len(names(tmp_path)) == 20


def test_a_disk_without_room_is_refused_at_once(tmp_path: Path) -> None:
    with Transaction() as t, pytest.raises(OutputError, match=r"bytes free; 1\d{18} bytes are needed"):
        t.path(tmp_path / "a.nii", expect=10**18)
    assert names(tmp_path) == []


def test_other_errors_pass(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), Transaction() as t:
        t.path(tmp_path / "a.nii")
        (tmp_path / "input.nii").read_bytes()
    assert names(tmp_path) == []


@pytest.mark.skipif(not POSIX, reason="signals")
def test_a_killed_writer_leaves_no_file_under_the_final_name(tmp_path: Path) -> None:
    code = (
        "import sys, time\nfrom medsr.io.atomic import Transaction\n"
        "with Transaction() as t:\n    t.path(sys.argv[1]).write_text('half')\n    print('ready', flush=True)\n"
        "    time.sleep(60)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "a.nii")], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    child.kill()
    child.wait()
    child.stdout.close()
    assert not (tmp_path / "a.nii").exists()
    save_volume(volume(), tmp_path / "a.nii")
    assert (tmp_path / "a.nii").exists()


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd", ".mha"])
def test_save_volume(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / "new" / f"a{suffix}"
    save_volume(volume(), path)
    np.testing.assert_array_equal(open_volume(path).data, volume().data)
    with pytest.raises(OutputError, match="exists already"):
        save_volume(volume(), path)
    save_volume(volume(7), path, force=True)
    assert open_volume(path).data.shape == (7, 5, 4)


@pytest.mark.parametrize("name", ["a.mhd", "a.nhdr", "a.img", "a.jpg", "a"])
def test_formats_that_are_not_written(name: str, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no image is written under this name"):
        save_volume(volume(), tmp_path / name)
    with pytest.raises(OutputError, match=name):
        write_volume(volume(), tmp_path / name)
    assert names(tmp_path) == []


def test_files_of_an_older_result_go_when_the_new_one_comes(tmp_path: Path) -> None:
    (tmp_path / "map.nii").write_text("old")
    with pytest.raises(ValueError), Transaction(force=True) as t:
        t.path(tmp_path / "a.nii")
        t.discard(tmp_path / "map.nii")
        raise ValueError
    assert names(tmp_path) == ["map.nii"]
    with Transaction() as t:
        t.discard(tmp_path / "map.nii")
    assert names(tmp_path) == ["map.nii"], "not without force"
    with Transaction(force=True) as t:
        t.path(tmp_path / "a.nii")
        t.discard(tmp_path / "map.nii")
        t.discard(tmp_path / "nothing.nii")
    assert names(tmp_path) == ["a.nii"]


@pytest.mark.parametrize("when", ["link", "unlink", "replace"])
def test_ctrl_c_while_files_get_their_names(when: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits until all of them have theirs, and is not lost."""
    import signal

    owner = os if when == "link" else Path
    real = getattr(owner, when)

    def interrupted(*arguments: object, **options: object) -> object:
        signal.raise_signal(signal.SIGINT)
        return real(*arguments, **options)

    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), Transaction(force=when == "replace") as t:
        t.path(tmp_path / "a.nii").write_text("1")
        t.path(tmp_path / "b.nii").write_text("2")
        monkeypatch.setattr(owner, when, interrupted)
    monkeypatch.undo()
    assert signal.getsignal(signal.SIGINT) is handler
    if when != "link" or POSIX:
        assert names(tmp_path) == ["a.nii", "b.nii"]


def test_what_is_unfinished_at_the_end_is_removed(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom medsr.io.atomic import Transaction\n"
        "t = Transaction().__enter__()\nt.path(sys.argv[1]).write_text('half')\nraise KeyboardInterrupt\n"
    )
    ran = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.nii")], capture_output=True, check=False)
    assert ran.returncode != 0
    assert names(tmp_path) == []


@pytest.mark.skipif(not POSIX, reason="process numbers")
def test_what_a_killed_process_has_left_goes_at_once(tmp_path: Path) -> None:
    """Not a living one's, nor another machine's."""
    code = "from medsr.io.atomic import temporary_name; print(temporary_name('.json'), temporary_name('.part'))"
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, text=True, cwd=Path(__file__).parents[2]
    )
    dead, dead_folder = ran.stdout.split()
    alive, alive_folder = temporary_name(".json"), temporary_name(PART)
    elsewhere = ".medsr-" + "0" * 8 + dead[15:]
    for name in (dead, alive, elsewhere):
        (tmp_path / name).write_text("half")
    for name in (dead_folder, alive_folder):
        (tmp_path / name).mkdir()
        (tmp_path / name / "IMG000001.dcm").write_text("half")
    with Transaction() as transaction:
        transaction.path(tmp_path / "a.json").write_text("{}")
    assert names(tmp_path) == sorted([alive, alive_folder, f"{alive_folder}/IMG000001.dcm", elsewhere, "a.json"])
