# SPDX-License-Identifier: MIT
"""An authorisation server on loopback: codes with PKCE, refresh tokens that are replaced, device codes, introspection.

RFC 6749, RFC 7636, RFC 8628, RFC 7662. Strict: whatever a request lacks or has wrongly is refused, a code is good
once, and the second use of a replaced refresh token revokes everything, as RFC 9700 §4.14.2 advises.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from tests.support.certificates import server_context

CLIENT_ID = "pillarbox-client"
CLIENT_SECRET = "a client's secret"
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"


@dataclass
class OAuthServer:
    """What it knows. Tests read and change it while it runs."""

    lifetime: int = 3600
    mailbox: str = "office@example.test"
    gives_refresh: bool = True
    replaces_refresh: bool = True
    answer_next: tuple[int, bytes] | None = None
    """Given once instead of what the token address would say."""
    device_typed: bool = False
    device_denied: bool = False
    slow_down: int = 0
    """So many polls are answered `slow_down`."""
    arrived: threading.Event = field(default_factory=threading.Event)
    """Set by each request."""
    may_answer: threading.Event = field(default_factory=threading.Event)
    """Set, unless a test wants answers to wait."""
    port: int = 0
    plain_port: int = 0
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    access: dict[str, float] = field(default_factory=dict)
    refresh: set[str] = field(default_factory=set)
    spent: set[str] = field(default_factory=set)
    device_code: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def url(self, path: str) -> str:
        return f"https://localhost:{self.port}/{path}"

    @property
    def introspection_url(self) -> str:
        """In clear, for Dovecot: the token is appended."""
        return f"http://127.0.0.1:{self.plain_port}/introspect?token="

    def revoke_access(self) -> None:
        """Every access token stops working, before its time."""
        with self.lock:
            self.access.clear()

    def is_good(self, token: str) -> bool:
        return self.access.get(token, 0) > time.time()

    # ------------------------------------------------------------ the endpoints

    def authorize(self, query: dict[str, str]) -> str:
        """What the browser is redirected to, once the person has signed in."""
        assert query["response_type"] == "code"
        assert query["client_id"] == CLIENT_ID
        assert query["code_challenge_method"] == "S256"
        assert query["scope"]
        code = secrets.token_urlsafe(16)
        self.codes[code] = query
        return f"{query['redirect_uri']}?{urlencode({'code': code, 'state': query['state']})}"

    def token(self, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        if (form.get("client_id"), form.get("client_secret")) != (CLIENT_ID, CLIENT_SECRET):
            return 401, {"error": "invalid_client"}
        match form.get("grant_type"):
            case "authorization_code":
                return self._by_code(form)
            case "refresh_token":
                return self._by_refresh(form.get("refresh_token", ""))
            case grant if grant == DEVICE_GRANT:
                return self._by_device(form)
        return 400, {"error": "unsupported_grant_type"}

    def device(self, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        assert form["client_id"] == CLIENT_ID
        assert form["scope"]
        self.device_code = secrets.token_urlsafe(16)
        return 200, {
            "device_code": self.device_code,
            "user_code": "WDJB-MJHT",
            "verification_uri": "https://example.test/device",
            "expires_in": 900,
            "interval": 1,
        }

    def introspect(self, token: str) -> dict[str, Any]:
        return {"active": self.is_good(token), "username": self.mailbox, "email": self.mailbox}

    def _by_code(self, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        query = self.codes.pop(form.get("code", ""), None)
        if query is None or query["redirect_uri"] != form.get("redirect_uri"):
            return 400, {"error": "invalid_grant", "error_description": "no such code"}
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != query["code_challenge"]:
            return 400, {"error": "invalid_grant", "error_description": "wrong verifier"}
        return self._grant()

    def _by_refresh(self, refresh: str) -> tuple[int, dict[str, Any]]:
        if refresh in self.spent:
            self.refresh.clear()
            self.access.clear()
            return 400, {"error": "invalid_grant", "error_description": "used twice: everything is revoked"}
        if refresh not in self.refresh:
            return 400, {"error": "invalid_grant"}
        if not self.replaces_refresh:
            return self._grant(with_refresh=False)
        self.refresh.discard(refresh)
        self.spent.add(refresh)
        return self._grant()

    def _by_device(self, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        if not self.device_code or form.get("device_code") != self.device_code:
            return 400, {"error": "invalid_grant"}
        if self.device_denied:
            return 400, {"error": "access_denied"}
        if self.slow_down:
            self.slow_down -= 1
            return 400, {"error": "slow_down"}
        if not self.device_typed:
            return 400, {"error": "authorization_pending"}
        return self._grant()

    def _grant(self, *, with_refresh: bool = True) -> tuple[int, dict[str, Any]]:
        access = secrets.token_urlsafe(24)
        self.access[access] = time.time() + self.lifetime
        answer: dict[str, Any] = {"access_token": access, "token_type": "Bearer", "expires_in": self.lifetime}
        if with_refresh and self.gives_refresh:
            answer["refresh_token"] = secrets.token_urlsafe(24)
            self.refresh.add(answer["refresh_token"])
        return 200, answer


@contextmanager
def running_oauth_server() -> Iterator[OAuthServer]:
    """One on free ports, with the tests' certificate."""
    state = OAuthServer()
    state.may_answer.set()
    secure = ThreadingHTTPServer(("127.0.0.1", 0), _handler(state))
    secure.socket = server_context().wrap_socket(secure.socket, server_side=True)
    plain = ThreadingHTTPServer(("127.0.0.1", 0), _handler(state))
    state.port, state.plain_port = secure.server_address[1], plain.server_address[1]
    threads = [threading.Thread(target=server.serve_forever, args=(0.05,)) for server in (secure, plain)]
    for thread in threads:
        thread.start()
    try:
        yield state
    finally:
        for server, thread in zip((secure, plain), threads, strict=True):
            server.shutdown()
            thread.join()
            server.server_close()


def _handler(state: OAuthServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            if parts.path == "/authorize":
                self.send_response(302)
                self.send_header("Location", state.authorize(query))
                self.send_header("Content-Length", "0")
                self.end_headers()
            elif parts.path == "/introspect":
                self._answer(200, json.dumps(state.introspect(query.get("token", ""))).encode())
            else:
                self._answer(404, b"{}")

        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = {name: values[0] for name, values in parse_qs(text, strict_parsing=True).items()}
            path = urlsplit(self.path).path
            state.arrived.set()
            state.may_answer.wait(30)
            with state.lock:
                state.requests.append((path, form))
                if state.answer_next is not None:
                    status, body = state.answer_next
                    state.answer_next = None
                    self._answer(status, body)
                    return
                status, answer = state.device(form) if path == "/device" else state.token(form)
            self._answer(status, json.dumps(answer).encode())

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            if 300 <= status < 400:
                self.send_header("Location", "https://localhost:1/")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler
