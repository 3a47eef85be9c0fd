# SPDX-License-Identifier: MIT
"""Connections that this server opens itself: to other servers, by their clients. TLS as a client does it.

RFC 8314 §3, RFC 6125 §6 (whose certificate it must be), RFC 2595 §4 (what was said before TLS does not count).
Every failure is a sentence for the administrator; what it means for the mail, the clients decide.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from functools import lru_cache

from mailserver.connectors.values import Encryption, RemoteServer
from protocols.net.stream import ConnectionLost, Stream

CONNECT_SECONDS = 60
"""Spec connectors 2.2."""
IDLE_SECONDS = 300
"""Spec connectors 2.2: how long a server may say nothing while it owes an answer."""


class CannotConnect(Exception):
    """There is no connection, or no protected one. The text is one sentence for the administrator."""


@lru_cache(maxsize=4)
def client_context(verify: bool, oldest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2) -> ssl.SSLContext:
    """Nothing older than TLS 1.2 (RFC 8996). Without `verify` any certificate will do, as between mail servers and at
    small providers. Made once: this machine's list of authorities takes tens of milliseconds to read, in the event
    loop."""
    context = ssl.create_default_context() if verify else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = oldest
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


async def open_stream(server: RemoteServer, connect_seconds: float = CONNECT_SECONDS) -> Stream:
    """Connected, and encrypted if the server wants TLS from the first byte. Raises CannotConnect."""
    from_start = server.encryption is Encryption.TLS
    context = client_context(server.verify_certificate) if from_start else None
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(connect_seconds):
            _, stream = await loop.create_connection(
                Stream,
                server.host,
                server.port,
                ssl=context,
                server_hostname=server.host if from_start else None,
            )
    except TimeoutError:
        raise CannotConnect(f"{_name(server)} does not answer within {connect_seconds:.0f} seconds.") from None
    except (OSError, ValueError) as error:
        raise CannotConnect(explain(server, error)) from error
    stream.encrypted = from_start
    return stream


async def start_client_tls(stream: Stream, server: RemoteServer) -> None:
    """The handshake after STLS or STARTTLS. Raises CannotConnect; the connection is then closed."""
    try:
        await stream.start_tls(client_context(server.verify_certificate), server_hostname=server.host)
    except ConnectionLost as error:
        cause = error.__cause__
        text = explain(server, cause) if isinstance(cause, OSError) else f"{_name(server)} broke off the TLS handshake."
        raise CannotConnect(text) from error


def explain(server: RemoteServer, error: BaseException) -> str:
    """Why there is no connection, in plain words."""
    name = _name(server)
    match error:
        case ssl.SSLCertVerificationError():
            return f"The certificate of {name} is not valid for it: {error.verify_message}"
        case ssl.SSLError():
            return f"TLS with {name} failed: {error.reason or error}. Perhaps the port wants another encryption."
        case socket.gaierror():
            return f"There is no server called {server.host} (the name cannot be looked up)."
        case ConnectionRefusedError():
            return f"{name} refuses connections: nothing listens there."
        case OSError() if error.strerror:
            return f"{name} cannot be reached: {error.strerror}."
        case _:
            return f"{name} cannot be reached: {error}."


def _name(server: RemoteServer) -> str:
    return f"{server.host} port {server.port}"
