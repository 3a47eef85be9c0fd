# SPDX-License-Identifier: MIT
"""Postfix with Dovecot as Debian ships them, in a temporary folder: what our numbers are compared with.

Nothing of the machine's own mail system is touched: own configuration, queue and mail folders, high ports on
loopback, own processes, all gone afterwards. Settings are the distributions' defaults except for paths; mail goes
smtpd, cleanup, qmgr, lmtp, Dovecot LMTP, Maildir, and is synced to disk on the way as both do by default.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

from tests.support.installation import free_port
from tests.support.processes import descendants
from tests.support.waiting import wait_until

PASSWORD = "bench-secret-1"
MASTER_CF = """\
127.0.0.1:{smtp} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
virtual unix - n n - - virtual
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""
MAIN_CF = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/postfix-data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
maillog_file = {folder}/postfix.log
maillog_file_prefixes = /var, {folder}
myhostname = peer.bench.test
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
virtual_mailbox_domains = bench.test
virtual_mailbox_maps = static:present
virtual_transport = lmtp:unix:{folder}/lmtp
alias_maps =
alias_database =
"""
DOVECOT_CONF = """\
base_dir = {folder}/dovecot-run
state_dir = {folder}/dovecot-state
log_path = {folder}/dovecot.log
protocols = lmtp pop3 imap
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
auth_username_format = %Ln
mail_location = maildir:{folder}/mail/%n
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home={folder}/mail/%n allow_all_users=yes
}}
service lmtp {{
  unix_listener {folder}/lmtp {{
    mode = 0666
  }}
}}
service pop3-login {{
  inet_listener pop3 {{
    address = 127.0.0.1
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
service imap-login {{
  inet_listener imap {{
    address = 127.0.0.1
    port = {imap}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
"""


def is_installed() -> bool:
    """Whether both are here, and we may start them (Postfix wants root)."""
    return os.geteuid() == 0 and all(shutil.which(name, path="/usr/sbin:/usr/bin") for name in ("postfix", "dovecot"))


class Peer:
    """The two, running; use it as a context manager."""

    def __init__(self, relay_port: int | None = None) -> None:
        """With `relay_port`, mail for others goes on to that port of this machine."""
        self._relay_port = relay_port
        self.folder = Path(tempfile.mkdtemp(prefix="pillarbox-peer-"))
        self.smtp_port, self.pop3_port, self.imap_port = free_port(), free_port(), free_port()
        self._dovecot: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Peer:
        self.folder.chmod(0o755)
        before = os.umask(0o022)  # Ours is stricter, and the peers' own users must read what is made here.
        try:
            self._start_dovecot()
            self._start_postfix()
        except BaseException:
            self.__exit__()
            raise
        finally:
            os.umask(before)
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(subprocess.SubprocessError):
            self._postfix("stop")
        if self._dovecot is not None:
            self._dovecot.send_signal(signal.SIGTERM)
            self._dovecot.wait(10)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _start_dovecot(self) -> None:
        nobody = pwd.getpwnam("nobody")
        mail = self.folder / "mail"
        mail.mkdir()
        os.chown(mail, nobody.pw_uid, nobody.pw_gid)
        configuration = self.folder / "dovecot.conf"
        ports = {"pop3": self.pop3_port, "imap": self.imap_port}
        configuration.write_text(DOVECOT_CONF.format(folder=self.folder, password=PASSWORD, **ports))
        self._dovecot = subprocess.Popen(["/usr/sbin/dovecot", "-F", "-c", configuration])
        wait_until(self._dovecot_is_ready, 20, "Dovecot")

    def _dovecot_is_ready(self) -> bool:
        return (self.folder / "lmtp").exists() and _answers(self.pop3_port) and _answers(self.imap_port)

    def _start_postfix(self) -> None:
        configuration = self.folder / "postfix"
        for name in ("postfix", "queue", "postfix-data"):
            (self.folder / name).mkdir()
        shutil.chown(self.folder / "postfix-data", "postfix")
        relay = f"relayhost = [127.0.0.1]:{self._relay_port}\n" if self._relay_port else ""
        (configuration / "main.cf").write_text(MAIN_CF.format(folder=self.folder) + relay)
        (configuration / "master.cf").write_text(MASTER_CF.format(smtp=self.smtp_port))
        self._postfix("start")
        wait_until(lambda: _answers(self.smtp_port), 20, "Postfix")

    def _postfix(self, verb: str) -> None:
        command = ["/usr/sbin/postfix", "-c", str(self.folder / "postfix"), verb]
        subprocess.run(command, check=True, timeout=30, capture_output=True)

    def processes(self) -> list[int]:
        """Dovecot's."""
        return [] if self._dovecot is None else list(descendants(self._dovecot.pid))

    def filed(self) -> int:
        """How many messages lie in the Maildirs."""
        mail = self.folder / "mail"
        return sum(len(os.listdir(folder)) for folder in mail.glob("*/new"))


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
        return bool(connection.recv(1))
    return False
