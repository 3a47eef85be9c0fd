# SPDX-License-Identifier: MIT
"""TLS contexts made from the snapshot: one for each certificate, made once.

RFC 8996 (nothing older than TLS 1.2), RFC 8446, RFC 8314 §4.
"""

from __future__ import annotations

import contextlib
import os
import ssl
import tempfile
from collections.abc import Iterator

from mailserver.config.snapshot import TlsMaterial


class TlsContexts:
    """The context for the present certificate. Sessions keep the one that they started with."""

    def __init__(self) -> None:
        self._material: TlsMaterial | None = None
        self._context: ssl.SSLContext | None = None
        self.problem = ""
        """Why the latest certificate could not be used, in plain words; the former one is kept meanwhile."""

    def take(self, material: TlsMaterial | None) -> None:
        """Use this certificate from the next handshake on."""
        if material == self._material:
            return
        self._material = material
        self.problem = ""
        if material is None:
            self._context = None
            return
        try:
            self._context = make_context(material)
        except (ssl.SSLError, OSError, ValueError) as error:
            self.problem = f"the TLS certificate cannot be used: {error}"

    def current(self) -> ssl.SSLContext | None:
        return self._context


def make_context(material: TlsMaterial) -> ssl.SSLContext:
    """A server's context. Raises SSLError or ValueError when chain and key do not fit."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    with _as_file(material.chain_pem + "\n" + material.key_pem) as path:
        context.load_cert_chain(path)
    return context


@contextlib.contextmanager
def _as_file(text: str) -> Iterator[str]:
    """OpenSSL's binding reads keys from files only; this one is in memory where the system offers that (Linux)."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("tls", os.MFD_CLOEXEC)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            yield f"/proc/self/fd/{descriptor}"
        return
    with tempfile.NamedTemporaryFile("w", encoding="ascii", suffix=".pem") as named:
        named.write(text)
        named.flush()
        yield named.name
