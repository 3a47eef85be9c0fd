# SPDX-License-Identifier: MIT
"""A private Dovecot: the provider whose mailboxes collectors empty. POP3 and IMAP4, in clear and with TLS.

Nothing of the machine's own is touched: configuration, mail and sockets lie in a temporary folder, ports are free ones
on loopback, and all is gone afterwards. Any user name works, with PASSWORD. A log-in that fails is answered at once:
Dovecot would let whoever fails wait, longer each time, and with him everybody else at 127.0.0.1.
"""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

from tests.support.certificates import make_certificate
from tests.support.installation import free_port
from tests.support.waiting import wait_until

PASSWORD = "provider-secret-1"
CONFIGURATION = """\
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
protocols = pop3 imap
listen = 127.0.0.1
ssl = yes
ssl_cert = <{folder}/certificate.pem
ssl_key = <{folder}/key.pem
ssl_min_protocol = TLSv1.2
disable_plaintext_auth = no
auth_mechanisms = plain login cram-md5 {more_mechanisms}
auth_username_format = %Ln
mail_location = maildir:{folder}/mail/%n
mail_max_userip_connections = 100
auth_failure_delay = 0
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
passdb {{
  driver = static
  args = password={password}
  mechanisms = plain login cram-md5
}}
{more}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home={folder}/mail/%n allow_all_users=yes
}}
service pop3-login {{
  inet_listener pop3 {{
    address = 127.0.0.1
    port = {pop3}
  }}
  inet_listener pop3s {{
    address = 127.0.0.1
    port = {pop3s}
    ssl = yes
  }}
}}
service imap-login {{
  inet_listener imap {{
    address = 127.0.0.1
    port = {imap}
  }}
  inet_listener imaps {{
    address = 127.0.0.1
    port = {imaps}
    ssl = yes
  }}
}}
namespace inbox {{
  inbox = yes
  separator = /
}}
"""

OAUTH = """\
passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {folder}/oauth2.conf
}}
"""
OAUTH_SERVER = """\
introspection_mode = get
introspection_url = {url}
username_attribute = username
active_attribute = active
active_value = true
"""


class Dovecot:
    """Running; use it as a context manager. With an `introspection_url` it also takes tokens (RFC 7662)."""

    def __init__(self, introspection_url: str = "") -> None:
        self._introspection_url = introspection_url
        self.folder = Path(tempfile.mkdtemp(prefix="pillarbox-dovecot-"))
        self.pop3_port, self.pop3s_port, self.imap_port, self.imaps_port = (free_port() for _ in range(4))
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count(1)

    def __enter__(self) -> Dovecot:
        self.folder.chmod(0o755)
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(10)
        shutil.rmtree(self.folder, ignore_errors=True)

    def deliver(self, user: str, *messages: bytes, folder: str = "") -> None:
        """Put messages into a mailbox, as if they had arrived one after the other."""
        place = self.folder / "mail" / user / (f".{folder}" if folder else "")
        for name in ("cur", "new", "tmp"):
            (place / name).mkdir(parents=True, exist_ok=True)
        for message in messages:
            number = next(self._numbers)
            (place / "new" / f"{1700000000 + number}.M{number}P1.peer").write_bytes(message.replace(b"\r\n", b"\n"))
        subprocess.run(["chown", "-R", "nobody:nogroup", self.folder / "mail" / user], check=True)

    def count(self, user: str, folder: str = "") -> int:
        """How many messages are in a mailbox."""
        place = self.folder / "mail" / user / (f".{folder}" if folder else "")
        return sum(len(os.listdir(place / name)) for name in ("cur", "new") if (place / name).is_dir())

    def _start(self) -> None:
        certificate, key = make_certificate()
        (self.folder / "certificate.pem").write_text(certificate)
        (self.folder / "key.pem").write_text(key)
        mail = self.folder / "mail"
        mail.mkdir()
        nobody = pwd.getpwnam("nobody")
        os.chown(mail, nobody.pw_uid, nobody.pw_gid)
        configuration = self.folder / "dovecot.conf"
        ports = {
            "pop3": self.pop3_port,
            "pop3s": self.pop3s_port,
            "imap": self.imap_port,
            "imaps": self.imaps_port,
        }
        more, mechanisms = "", ""
        if self._introspection_url:
            (self.folder / "oauth2.conf").write_text(OAUTH_SERVER.format(url=self._introspection_url))
            more, mechanisms = OAUTH.format(folder=self.folder), "xoauth2 oauthbearer"
        texts = {"folder": self.folder, "password": PASSWORD, "more": more, "more_mechanisms": mechanisms}
        configuration.write_text(CONFIGURATION.format(**texts, **ports))
        self._process = subprocess.Popen(["/usr/sbin/dovecot", "-F", "-c", configuration])
        wait_until(lambda: _greets(self.pop3_port) and _greets(self.imap_port), 20, "Dovecot")


def _greets(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
        return bool(connection.recv(1))
    return False
