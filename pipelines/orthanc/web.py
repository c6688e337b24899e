"""HTTP to a server: certificates are verified, redirects are not followed, answers are bounded.

Three things can come of a request, and each is dealt with elsewhere: the server is away for the time being
(`Away`: no connection, a time-out, 5xx, refused credentials), it refuses this request (`Refused`: another 4xx), or
it does not have what was asked for (`Missing`: 404). Nothing that it says in an error is kept.
"""

from __future__ import annotations

import json
import ssl
from typing import Any

import urllib3

from medsr.errors import MedsrError
from pipelines.orthanc.settings import Site

JSON_LIMIT = 64 << 20
FILE_LIMIT = 2 << 30
_BLOCK = 1 << 20
_CONNECT = 10.0
_LATER = (401, 403, 407, 408, 425, 429)


class Away(MedsrError):  # noqa: N818 - a state of the server, nobody's error
    """The server cannot be used now; later it may be."""


class Refused(MedsrError):  # noqa: N818 - an answer
    """The server refuses this request, and will refuse it again."""

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(f"the server refuses the request with status {status}")


class Missing(Refused):
    """The server does not have it."""


class Web:
    """A server. Paths are relative to its URL.

    Raises (all methods)
    --------------------
    Away, Refused, Missing
    """

    def __init__(self, site: Site) -> None:
        headers = {"User-Agent": "medsr", "Accept": "application/json"}
        if site.credentials:
            pair = f"{site.credentials.user}:{site.credentials.password}"
            headers |= urllib3.make_headers(basic_auth=pair)
        self._url = site.url
        self._pool = urllib3.PoolManager(
            num_pools=1,
            maxsize=1,
            headers=headers,
            timeout=urllib3.Timeout(connect=min(_CONNECT, site.timeout), read=site.timeout),
            retries=False,
            ssl_context=_context(site.ca_file) if site.url.startswith("https:") else None,
        )

    def json(self, path: str) -> Any:
        """The answer to GET, as JSON; None where it is empty."""
        status, data = self._ask("GET", path, limit=JSON_LIMIT)
        return None if status == 204 and not data else _parsed(data)

    def file(self, path: str) -> bytes:
        """The answer to GET, as bytes."""
        return self._ask("GET", path, limit=FILE_LIMIT, headers={"Accept": "*/*"})[1]

    def text(self, path: str) -> str | None:
        """The answer to GET, as a short text; None where there is none."""
        try:
            data = self._ask("GET", path, limit=1 << 16, headers={"Accept": "*/*"})[1]
        except Missing:
            return None
        return data.decode("utf-8", "replace").strip(" \0")

    def post(self, path: str, body: bytes, kind: str, accept: str = "application/json") -> tuple[int, Any]:
        """The status of an answer to POST, and the answer, as JSON where it is."""
        status, data = self._ask(
            "POST", path, limit=JSON_LIMIT, body=body, headers={"Content-Type": kind, "Accept": accept}
        )
        return status, _parsed(data) if data else None

    def _ask(
        self,
        method: str,
        path: str,
        *,
        limit: int,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, bytes]:
        try:
            answer = self._pool.request(
                method,
                f"{self._url}/{path.lstrip('/')}",
                body=body,
                headers={**self._pool.headers, **(headers or {})},
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
            try:
                data = b"".join(_bounded(answer, limit))
            finally:
                answer.release_conn()
        except urllib3.exceptions.SSLError:
            raise Away(
                "the server's certificate cannot be verified", hint="name its authority's certificate with ca_file"
            ) from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise Away("the server does not answer", got=type(error).__name__) from None
        if answer.status in _LATER or answer.status >= 500:
            words = "the credentials are refused" if answer.status in (401, 403) else "the server is not ready"
            raise Away(words, got=f"status {answer.status}")
        if answer.status == 404:
            raise Missing(404)
        if not 200 <= answer.status < 300:
            raise Refused(answer.status)
        return answer.status, data


def _bounded(answer: Any, limit: int) -> Any:
    """The body in blocks. A body that is cut off, or has no end, is no answer."""
    count = 0
    for block in answer.stream(_BLOCK, decode_content=False):
        count += len(block)
        if count > limit:
            answer.close()
            raise Away("the server's answer is larger than it can be", got=f"more than {limit} bytes")
        yield block


def _context(ca_file: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        raise Away("the server's answer is not JSON", hint="is it an Orthanc server?") from None
