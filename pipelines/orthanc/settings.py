"""The worker's settings: one TOML file, and credentials from the environment or from files that it names."""

from __future__ import annotations

import ipaddress
import os
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from medsr.errors import UsageError
from pipelines.orthanc.rules import Rule

PREFIX = "MEDSR_ORTHANC"
DELIVERY_PREFIX = "MEDSR_DELIVERY"


@dataclass(frozen=True)
class Credentials:
    """A user and a password for HTTP Basic; never shown."""

    user: str = field(repr=False)
    password: str = field(repr=False)


@dataclass(frozen=True)
class Site:
    """A server: where it is, how its certificate is checked, how long an answer may take."""

    url: str
    ca_file: str | None = None
    timeout: float = 60.0
    credentials: Credentials | None = None


@dataclass(frozen=True)
class Delivery:
    """Where results go, and by which protocol: "rest" (Orthanc's own) or "dicomweb" (STOW-RS)."""

    by: str
    site: Site


@dataclass(frozen=True)
class Settings:
    """All that the worker is told.

    folder : queue, spool and lock; on a disk that outlives the machine's restarts.
    start : "now": series that are stable before the first start are left alone; "beginning": they are not.
    poll : seconds between two looks at the server.
    settle : seconds without a new image after which a series counts as whole although the server never said so.
    ahead : series that are fetched before they are reconstructed.
    attempts : how often a series is tried before it is given up.
    limit : seconds that one reconstruction may take.
    missed : "hold" or "send" a result that missed a promise of its method's card.
    """

    folder: Path
    server: Site
    delivery: Delivery
    rules: tuple[Rule, ...]
    start: str = "now"
    poll: float = 5.0
    settle: float = 60.0
    ahead: int = 32
    attempts: int = 5
    limit: float = 3600.0
    missed: str = "hold"


def load(path: str | Path, environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings in the file at `path`.

    Raises
    ------
    UsageError
        if the file cannot be read, holds something that is not known, or asks for what is not safe.
    """
    place = Path(path)
    try:
        table = tomllib.loads(place.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{place}: the settings cannot be read", got=error.strerror) from None
    except ValueError as error:
        raise UsageError(f"{place}: not TOML", got=error) from None
    try:
        return _settings(table, environment)
    except UsageError as error:
        raise UsageError(f"{place}: {error.what}", got=error.got, rule=error.rule, hint=error.hint) from None


_TOP: dict[str, Any] = {
    "folder": str, "start": ("now", "beginning"), "poll_seconds": float, "settle_seconds": float, "ahead": int,
    "attempts": int, "limit_minutes": float, "missed": ("hold", "send"), "server": dict, "delivery": dict,
    "rules": list,
}  # fmt: skip
_SITE: dict[str, Any] = {"url": str, "ca_file": str, "timeout_seconds": float, "plain_http": bool}


def _settings(table: dict[str, Any], environment: Mapping[str, str]) -> Settings:
    top = checked(table, _TOP, "the file")
    for needed in ("folder", "server", "rules"):
        if not top.get(needed):
            raise UsageError(f"{needed} is missing", hint="see the example beside the worker's README")
    if not Path(top["folder"]).is_absolute():  # else the queue would depend on where the worker is started
        raise UsageError("folder is not a whole path", got=repr(top["folder"]), hint="e.g. /var/lib/medsr-orthanc")
    server = _site(checked(top["server"], _SITE, "[server]"), PREFIX, environment)
    sent = checked(top.get("delivery", {}), {"by": ("rest", "dicomweb"), **_SITE}, "[delivery]")
    by = sent.get("by", "rest")
    if "url" in sent:
        site = _site(sent, DELIVERY_PREFIX, environment)
    elif set(sent) - {"by"}:
        raise UsageError(
            "[delivery] has no url", hint="give one, or leave `by` alone there: results go to [server]"
        )
    else:
        url = server.url + ("/dicom-web" if by == "dicomweb" else "")
        site = Site(url, server.ca_file, server.timeout, server.credentials)
    rules = tuple(Rule.parse(rule, number) for number, rule in enumerate(top["rules"], 1))
    if len({rule.name for rule in rules}) < len(rules):
        raise UsageError("two rules have the same name")
    return Settings(
        folder=Path(top["folder"]),
        server=server,
        delivery=Delivery(by, site),
        rules=rules,
        start=top.get("start", "now"),
        poll=top.get("poll_seconds", 5.0),
        settle=top.get("settle_seconds", 60.0),
        ahead=top.get("ahead", 32),
        attempts=top.get("attempts", 5),
        limit=60 * top.get("limit_minutes", 60.0),
        missed=top.get("missed", "hold"),
    )


def checked(table: Any, known: Mapping[str, Any], where: str) -> dict[str, Any]:
    """`table`, if it holds nothing but what is `known`: names with their types, or the words they may be."""
    if not isinstance(table, dict):
        raise UsageError(f"{where} is not a table")
    for name, value in table.items():
        if name not in known:
            raise UsageError(f"{where}: {name} is not known", hint=f"known are {', '.join(known)}")
        kind = known[name]
        if isinstance(kind, tuple):
            if value not in kind:
                raise UsageError(f"{where}: {name} is not one", got=repr(value), hint=" or ".join(kind))
        elif kind is float:
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e9:
                raise UsageError(f"{where}: {name} is not a number above 0", got=repr(value))
        elif not isinstance(value, kind) or (kind is int and (isinstance(value, bool) or value < 1)):
            raise UsageError(f"{where}: {name} is not what it has to be", got=repr(value), rule=kind.__name__)
    return table


def _site(table: dict[str, Any], prefix: str, environment: Mapping[str, str]) -> Site:
    url = table.get("url", "").rstrip("/")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise UsageError("url is not that of a server", hint="e.g. https://pacs.example.org:8042") from None
    if "@" in url:
        raise UsageError("credentials do not belong into the url", hint=f"set {prefix}_USER and {prefix}_PASSWORD")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise UsageError("url is not that of a server", got=repr(url), hint="e.g. https://pacs.example.org:8042")
    if parts.scheme == "http" and not table.get("plain_http") and not _loopback(parts.hostname):
        raise UsageError(
            "images and passwords would cross the network unencrypted",
            got=f"http to {parts.hostname}",
            hint="use https; plain_http = true allows it where the network itself is protected",
        )
    ca_file = table.get("ca_file")
    if ca_file and not Path(ca_file).is_file():
        raise UsageError("ca_file does not exist", got=ca_file)
    return Site(url, ca_file, table.get("timeout_seconds", 60.0), _credentials(prefix, environment))


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _credentials(prefix: str, environment: Mapping[str, str]) -> Credentials | None:
    """``PREFIX_USER`` with ``PREFIX_PASSWORD``, or with ``PREFIX_PASSWORD_FILE``, which names a file."""
    user, password = environment.get(f"{prefix}_USER"), environment.get(f"{prefix}_PASSWORD")
    file = environment.get(f"{prefix}_PASSWORD_FILE")
    if file:
        password = _secret(Path(file), f"{prefix}_PASSWORD_FILE")
    if not user and not password:
        return None
    if not user or not password:
        raise UsageError(f"{prefix}_USER and a password go together", hint=f"{prefix}_PASSWORD or _PASSWORD_FILE")
    return Credentials(user, password)


def _secret(path: Path, name: str) -> str:
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UsageError(f"the file of {name} cannot be read", got=type(error).__name__) from None
    if os.name == "posix" and mode & (stat.S_IROTH | stat.S_IWOTH | stat.S_IWGRP):
        raise UsageError(f"the file of {name} can be read by everybody", hint=f"chmod 600 {path}")
    return text.rstrip("\r\n")
