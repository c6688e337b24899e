"""A real Orthanc and real workers, started and stopped by the tests; loopback only."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
BINARY = shutil.which("Orthanc") or "/usr/sbin/Orthanc"
DICOMWEB = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
THERE = Path(BINARY).is_file() and DICOMWEB.is_file()
USER, PASSWORD = "worker", "pass-ZQPASSZQ"


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def wait_for(condition: Callable[[], Any], seconds: float = 60, what: str = "it") -> Any:
    """What `condition` gives once it is true; every loop here has an end."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"waited {seconds:.0f} s for {what}")


class Orthanc:
    """A server with a data base of its own in `folder`.

    settings : a folder of settings, taken but for user, port and data base. beside : further files of settings.
    """

    def __init__(
        self, folder: Path, *, overwrite: bool = False, settings: Path | None = None, beside: Sequence[Path] = ()
    ) -> None:
        folder.mkdir()
        self.port, self._process = free_port(), None
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = folder / "log"
        own = {
            "StorageDirectory": str(folder / "db"),
            "IndexDirectory": str(folder / "db"),
            "HttpPort": self.port,
            "DicomServerEnabled": False,
        }
        users = {"RegisteredUsers": {USER: PASSWORD}}
        self._settings = folder / "settings"
        self._settings.mkdir()
        if settings is None:
            self._write("orthanc", {
                **own,
                **users,
                "Name": "test",
                "RemoteAccessAllowed": False,
                "AuthenticationEnabled": True,
                "StableAge": 1,
                "OverwriteInstances": overwrite,
                "Plugins": [str(DICOMWEB)],
                "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
            })  # fmt: skip
            return
        for path in (*beside, *settings.glob("*.json")):
            shutil.copyfile(path, self._settings / path.name)
        for name, changed in (("orthanc", own), ("credentials", users)):
            self._write(name, json.loads((settings / f"{name}.json").read_text(encoding="utf-8")) | changed)

    def _write(self, name: str, settings: dict[str, Any]) -> None:
        (self._settings / f"{name}.json").write_text(json.dumps(settings))

    def start(self) -> Orthanc:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([BINARY, str(self._settings)], stdout=log, stderr=log)
        wait_for(self._answers, 60, "Orthanc")
        return self

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def ask(self, path: str, data: bytes | None = None, method: str | None = None) -> Any:
        pair = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        request = urllib.request.Request(self.url + path, data, {"Authorization": f"Basic {pair}"}, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            body = answer.read()
        with contextlib.suppress(ValueError):
            return json.loads(body)
        return body

    def send(self, folder: Path) -> None:
        """A series, as a scanner would send it."""
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            self.ask("/instances", path.read_bytes())

    def tags(self) -> list[dict[str, str]]:
        """Patient, study, series and own UIDs of every instance."""
        found = []
        for name in self.ask("/instances"):
            tags = self.ask(f"/instances/{name}/simplified-tags")
            found.append({**tags, "ID": name})
        return found

    def results(self) -> list[dict[str, str]]:
        return [tags for tags in self.tags() if tags.get("Manufacturer") == "medsr"]

    def stored(self) -> Counter[str]:
        """How often each instance was stored."""
        since, found = 0, Counter()
        while True:
            page = self.ask(f"/changes?since={since}&limit=1000")
            found.update(c["ID"] for c in page["Changes"] if c["ChangeType"] == "NewInstance")
            since = page["Last"]
            if page["Done"]:
                return found

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text(errors="replace")[-2000:]
        try:
            self.ask("/system")
        except (OSError, urllib.error.URLError):
            return False
        return True


class TlsFront:
    """TLS before a server, as a reverse proxy has it (Debian's Orthanc 1.10.1 crashes on its first HTTPS request).

    certificate : certificate and key, in one file.
    """

    def __init__(self, server: Orthanc, certificate: Path) -> None:
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(certificate)
        self._behind = server.port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(plain,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        with plain, contextlib.suppress(OSError):
            plain.settimeout(30)
            with (
                self._context.wrap_socket(plain, server_side=True) as client,
                socket.create_connection(("127.0.0.1", self._behind), 30) as server,
            ):
                back = threading.Thread(target=self._copy, args=(server, client), daemon=True)
                back.start()
                self._copy(client, server)
                back.join(30)

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)


RULES = """
[[rules]]
name = "all"
options = ["--noise", "0"]
"""


class Worker:
    """A worker in a process of its own; its log is kept over its lives."""

    def __init__(
        self,
        folder: Path,
        server: Orthanc,
        *,
        top: str = "",
        site: str = "",
        delivery: str = "",
        rules: str = RULES,
    ) -> None:
        folder.mkdir()
        self.state, self.log = folder / "state", folder / "log"
        self.settings = folder / "settings.toml"
        self.settings.write_text(
            f'folder = "{self.state}"\nstart = "beginning"\npoll_seconds = 0.2\nsettle_seconds = 2\n{top}\n'
            f'[server]\nurl = "{server.url}"\ntimeout_seconds = 20\n{site}\n{delivery}\n{rules}'
        )
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def environment(self, **more: str) -> dict[str, str]:
        return {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "MEDSR_ORTHANC_USER": USER,
            "MEDSR_ORTHANC_PASSWORD": PASSWORD,
            "TMPDIR": str(self._temporary()),
            **more,
        }

    def command(self, name: str, *more: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pipelines.orthanc", name, str(self.settings), *more]
        return subprocess.run(
            command,
            cwd=ROOT,
            env=self.environment(**environment),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def start(self, **environment: str) -> Worker:
        command = [sys.executable, "-m", "pipelines.orthanc", "run", str(self.settings)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=ROOT, env=self.environment(**environment), stdout=log, stderr=log
            )
        return self

    def kill(self) -> None:
        """As if the power failed."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        return self._end(signal.SIGTERM)

    def counts(self) -> dict[str, int]:
        """Jobs in each state."""
        try:
            base = sqlite3.connect(f"file:{self.state / 'queue.sqlite'}?mode=ro", uri=True, timeout=10)
            with contextlib.closing(base):
                return dict(base.execute("SELECT state, COUNT(*) FROM jobs GROUP BY state").fetchall())
        except sqlite3.Error:
            return {}

    def said(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def _temporary(self) -> Path:
        path = self.log.with_name("tmp")
        path.mkdir(exist_ok=True)
        return path

    def _end(self, number: int) -> int:
        if self._process is None:
            return 0
        self._process.send_signal(number)
        code = self._process.wait(60)
        self._process = None
        return code
