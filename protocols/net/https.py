# SPDX-License-Identifier: MIT
"""One form posted over HTTPS: all that authorisation servers are ever asked.

RFC 9110, by the standard library. Blocks: for threads only. Never follows a redirect, because what is posted is
secret; never over plain HTTP; and takes an answer of a sensible size only.
"""

from __future__ import annotations

import ssl
import urllib.error
import urllib.request
from http.client import HTTPException, HTTPMessage
from typing import IO

MAX_ANSWER_BYTES = 256 * 1024
"""Tokens are a few kilobytes; a page that a hotel's network puts in the way may be larger, and is of no use."""
TIMEOUT_SECONDS = 30.0


class Unreachable(Exception):
    """There was no answer; the text says why, for people."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> None:
        return None


def post_form(url: str, body: str, *, context: ssl.SSLContext | None = None) -> tuple[int, bytes]:
    """The answer's status and content, whatever the status is. Raises Unreachable.

    The server's certificate must be good, by what this machine trusts (`SSL_CERT_FILE` changes that).
    """
    if not url.startswith("https://"):
        raise Unreachable(f"{url!r} does not begin with https://")
    request = urllib.request.Request(  # noqa: S310 - looked at above
        url,
        data=body.encode(),
        headers={"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"},
    )
    opener = urllib.request.build_opener(
        urllib.request.HTTPSHandler(context=context or ssl.create_default_context()), _NoRedirect
    )
    try:
        with opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
            return answer.status, answer.read(MAX_ANSWER_BYTES)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(MAX_ANSWER_BYTES)
    except urllib.error.URLError as error:
        raise Unreachable(f"{url} cannot be reached: {error.reason}") from error
    except (OSError, HTTPException, ValueError) as error:
        raise Unreachable(f"{url} cannot be reached: {error}") from error
