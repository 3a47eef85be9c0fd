# SPDX-License-Identifier: MIT
"""`manage.py exportmail USER FOLDER PATH`: write mail to files."""

from __future__ import annotations

from argparse import ArgumentParser
from contextlib import closing
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from mailserver.management.mail_progress import Progressing, find_mail_user
from mailserver.store.opening import open_store
from mailserver.store.transfer import export_messages
from mailserver.values import UserId


class Command(Progressing):
    """Write a folder as a Maildir folder or an mbox file; works while the server runs."""

    help = (
        "Write the messages of a user's folder to a Maildir folder, or with --mbox (or a PATH that ends in .mbox) to a"
        " new mbox file. A Maildir export that was interrupted goes on where it stopped."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("user", metavar="USER", help="a name or an address")
        parser.add_argument("folder", metavar="FOLDER", help='such as INBOX, or "Projects/Old"')
        parser.add_argument("path", metavar="PATH", type=Path)
        parser.add_argument("--mbox", action="store_true", help="one file instead of a Maildir folder")

    def handle(self, *args: Any, **options: Any) -> None:
        user = find_mail_user(options["user"])
        path: Path = options["path"]
        as_mbox = options["mbox"] or path.suffix == ".mbox"
        with closing(open_store()) as store:
            mailbox = store.get_mailbox(UserId(user.pk), options["folder"])
            try:
                progress = export_messages(store, mailbox, path, self.report, as_mbox=as_mbox)
            except OSError as error:
                raise CommandError(str(error)) from error
        self.tell(f"Written to {path}", progress, "were there already")
