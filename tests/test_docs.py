"""What is documented is what there is."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from medsr.cli.main import main, parser
from medsr.job import Job, options

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def help_of(*command: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main([*command, "--help"]) == 0
    return capsys.readouterr().out


def test_every_option_is_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    text = help_of("reconstruct", capsys=capsys)
    for field, option in options():
        shown = option.metavar if field.name == "inputs" else "--" + field.name.replace("_", "-")
        assert shown is not None
        assert shown in text
        assert len(option.help) > 10
        assert " ".join(option.help.split())[:30] in " ".join(text.split()), field.name


def test_the_default_that_the_help_names_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    text = " ".join(help_of("reconstruct", capsys=capsys).split())
    assert f"default: {Job.method} " in text
    assert Job.negative == "keep"
    assert "keep them (default" in text
    assert Job.device == "auto"
    assert "auto (default: a CUDA device" in text


@pytest.mark.parametrize(
    "command", ["reconstruct", "batch", "models", "info", "report", "evaluate", "simulate lowres", "train"]
)
def test_every_command_shows_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = help_of(*command.split(), capsys=capsys)
    assert "examples:" in text
    assert f"medsr {command}" in text.split("examples:")[1]
    assert not re.search(r"==SUPPRESS==|%\(|None", text)
    assert max(map(len, text.split("examples:")[1].splitlines())) <= 120


def commands(text: str) -> list[str]:
    """Lines of `text` that are commands of medsr, comments left out."""
    lines = (line.split("  ")[0] if "  " in line.strip() else line for line in map(str.strip, text.splitlines()))
    return [line.split("#")[0].strip() for line in lines if line.startswith("medsr ")]


def test_every_command_that_is_shown_can_be_parsed(capsys: pytest.CaptureFixture[str]) -> None:
    shown = commands("\n".join(re.findall(r"```\n(.*?)```", README, re.DOTALL)))
    assert len(shown) >= 6
    for command in ("reconstruct", "batch", "models", "info", "report", "evaluate", "simulate lowres", "train"):
        shown += commands(help_of(*command.split(), capsys=capsys).split("examples:")[1])
    assert len(shown) >= 18
    for line in shown:
        parser().parse_args(shlex.split(line)[1:])


def test_the_readme_has_the_exit_codes() -> None:
    section = README.split("## Exit codes")[1].split("##")[0]
    for code in (0, 1, 2, 3, 4, 5, 6, 7, 8, 130):
        assert re.search(rf"(^|\s|·){code}\s\w", section), code
