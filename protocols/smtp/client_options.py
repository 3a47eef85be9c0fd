# SPDX-License-Identifier: MIT
"""How a session with a server is to be, and why there is none. Pure."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from mailserver.connectors.values import Credentials, Encryption
from protocols.smtp.client_grammar import Reply

COMMAND_SECONDS = 300
"""RFC 5321 §4.5.3.2: greeting, MAIL and RCPT five minutes; DATA two, which nobody needs to keep apart."""


class Stage(enum.Enum):
    """How far a session came before it failed."""

    CONNECT = "connect"
    HELLO = "hello"
    TLS = "tls"
    LOGIN = "login"


class CannotSend(Exception):
    """No session with this server. `text` is a sentence for people, `reply` the server's where it said something."""

    def __init__(self, stage: Stage, text: str, reply: Reply | None = None) -> None:
        super().__init__(text)
        self.stage = stage
        self.text = text
        self.reply = reply

    @property
    def answered(self) -> bool:
        """The server was there, and said no (spec senders 3: the next one in the list is not tried then)."""
        return self.reply is not None or self.stage is Stage.LOGIN

    def text_at(self, host: str, port: int) -> str:
        """The sentence with the server in front, unless it names it already."""
        where = f"{host} port {port}"
        return self.text if self.text.startswith((where, f"The server {host} ")) else f"{where}: {self.text}"

    @property
    def login_refused(self) -> bool:
        """The server did not like the password, or the token; not merely at the moment (RFC 4954 §6)."""
        return self.stage is Stage.LOGIN and self.reply is not None and self.reply.code >= 500

    @property
    def deferral(self) -> str:
        """What the queue keeps: the server's words where they are of a temporary failure, else our own. Never for
        ever, whatever was said: the server may think otherwise by then."""
        if self.reply is not None and 400 <= self.reply.code < 500:
            return self.reply.text
        status = {Stage.TLS: "4.7.5", Stage.LOGIN: "4.7.8"}.get(self.stage, "4.4.1")
        return f"451 {status} {self.text}"


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """How to speak to a server. `name` is what its certificate must say, `token` an OAuth2 access token."""

    name: str
    ehlo_name: str
    encryption: Encryption = Encryption.OPPORTUNISTIC
    verify_certificate: bool = False
    credentials: Credentials = field(default_factory=Credentials)
    token: str = field(default="", repr=False)
    local_address: str = ""
    timeout_seconds: int = COMMAND_SECONDS
    newest_tls: bool = False
    """TLS 1.3, or no TLS."""
    avoided: frozenset[str] = frozenset()
    """Extensions that are not used, though the server offers them."""
