"""No way from a file to running code: read from the syntax trees of the package and the pipelines."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted([*(ROOT / "medsr").rglob("*.py"), *(ROOT / "pipelines").rglob("*.py")])

MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "code", "codeop"}
MODULES |= {"telnetlib", "ftplib"}
"""Whose readers run what a file holds, or that have no place here."""

NAMES = {"eval", "exec", "compile", "__import__", "execfile"}

CALLS = {
    "torch.load": "pickle",
    "torch.jit.load": "code in a file",
    "torch.package.PackageImporter": "code in a file",
    "torch.hub.load": "code from the network",
    "torch.utils.model_zoo.load_url": "pickle",
    "numpy.fromregex": "no use",
    "pandas.read_pickle": "pickle",
    "yaml.load": "objects in a file; yaml.safe_load",
    "yaml.unsafe_load": "objects in a file",
    "yaml.full_load": "objects in a file",
    "os.system": "a shell",
    "os.popen": "a shell",
    "subprocess.getoutput": "a shell",
    "subprocess.getstatusoutput": "a shell",
    "asyncio.create_subprocess_shell": "a shell",
    "tempfile.mktemp": "a race",
    "tarfile.open": "paths in an archive",
    "shutil.unpack_archive": "paths in an archive",
    "zipfile.ZipFile.extractall": "paths in an archive",
}

SUBPROCESS = {"run", "Popen", "call", "check_call", "check_output"}


def findings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Lines and what is wrong there."""
    known = imports(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] in MODULES:
                    yield node.lineno, f"import of {alias.name}"
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (node.module or "").split(".")[0] in MODULES or f"{node.module}.{alias.name}" in CALLS:
                    yield node.lineno, f"import of {node.module}.{alias.name}"
        elif isinstance(node, ast.Name) and node.id in NAMES:
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute):
            name = full_name(node, known)
            if name in CALLS:
                yield node.lineno, f"{name}: {CALLS[name]}"
            elif node.attr in ("extractall", "unsafe_load"):
                yield node.lineno, f".{node.attr}"
        elif isinstance(node, ast.Call):
            yield from in_call(node, full_name(node.func, known))


def in_call(node: ast.Call, name: str) -> Iterator[tuple[int, str]]:
    for keyword in node.keywords:
        false = isinstance(keyword.value, ast.Constant) and keyword.value.value is False
        if keyword.arg in ("shell", "allow_pickle") and not false:
            yield node.lineno, f"{keyword.arg} is not False"
        if keyword.arg == "weights_only":
            yield node.lineno, "weights_only: pickle all the same"
    if name.startswith("subprocess.") and name.rsplit(".", maxsplit=1)[-1] in SUBPROCESS:
        command = next((k.value for k in node.keywords if k.arg == "args"), node.args[0] if node.args else None)
        if isinstance(command, ast.JoinedStr | ast.BinOp) or (
            isinstance(command, ast.Constant) and isinstance(command.value, str)
        ):
            yield node.lineno, "a command that is one string"


def imports(tree: ast.AST) -> dict[str, str]:
    """What the names that are imported stand for: {"np": "numpy", "run": "subprocess.run"}."""
    known = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                known[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                known[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return known


def full_name(node: ast.AST, known: dict[str, str]) -> str:
    if isinstance(node, ast.Attribute):
        return f"{full_name(node.value, known)}.{node.attr}"
    return known.get(node.id, node.id) if isinstance(node, ast.Name) else ""


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_runs_what_a_file_holds(path: Path) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {what}" for line, what in findings(ast.parse(path.read_text("utf-8")))
    ]
    assert not found, "\n".join(found)


def test_there_is_something_to_read() -> None:
    assert len(SOURCES) > 50


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from pickle import loads",
        "import numpy as np\nnp.load('x', allow_pickle=True)",
        "import numpy as np\nnp.load('x', allow_pickle=flag)",
        "import torch\ntorch.load('x')",
        "from torch import load",
        "import torch as t\nt.load('x', weights_only=True)",
        "from torch import hub\nhub.load('x')",
        "eval('1')",
        "exec(text)",
        "compile(a, b, c)",
        "__import__(name)",
        "import os\nos.system('ls')",
        "from os import system",
        "import subprocess\nsubprocess.run('ls', shell=True)",
        "import subprocess\nsubprocess.run(command, shell=flag)",
        "import subprocess\nsubprocess.run('ls -l')",
        "import subprocess as s\ns.Popen(f'ls {x}')",
        "from subprocess import check_output\ncheck_output('ls ' + x)",
        "import yaml\nyaml.load(text)",
        "import tarfile\ntarfile.open(x)",
        "archive.extractall()",
    ],
)
def test_it_would_be_found(code: str) -> None:
    assert list(findings(ast.parse(code)))


@pytest.mark.parametrize(
    "code",
    [
        "import re\nre.compile('a')",
        "import subprocess\nsubprocess.run(['ls', x])",
        "import subprocess\nsubprocess.run(command, shell=False)",
        "import yaml\nyaml.safe_load(text)",
        "import numpy as np\nnp.load('x', allow_pickle=False)",
        "model.eval()",
    ],
)
def test_what_is_sound_passes(code: str) -> None:
    assert not list(findings(ast.parse(code)))
