# SPDX-License-Identifier: MIT
"""`manage.py importmail USER FOLDER PATH`: bring mail in from files."""

from __future__ import annotations

from argparse import ArgumentParser
from contextlib import closing
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from mailserver.management.mail_progress import Progressing, find_mail_user
from mailserver.store.mailfiles import is_maildir, read_maildir, read_mbox
from mailserver.store.opening import open_store
from mailserver.store.transfer import ensure_folder, import_messages
from mailserver.values import UserId


class Command(Progressing):
    """File the messages of a Maildir folder or an mbox file; works while the server runs."""

    help = (
        "File the messages of a Maildir folder or an mbox file into a user's folder, which is made if it is missing."
        " Flags and dates come along. May be repeated: messages that the folder already has are passed over."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("user", metavar="USER", help="a name or an address")
        parser.add_argument("folder", metavar="FOLDER", help='such as INBOX, or "Projects/Old"')
        parser.add_argument(
            "path", metavar="PATH", type=Path, help="a Maildir folder (with cur and new in it) or an mbox file"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        user = find_mail_user(options["user"])
        path: Path = options["path"]
        if path.is_dir() and not is_maildir(path):
            raise CommandError(f"{path} is no Maildir folder: one has the folders cur and new in it.")
        with closing(open_store()) as store:
            mailbox = ensure_folder(store, UserId(user.pk), options["folder"])
            try:
                messages = read_maildir(path) if path.is_dir() else read_mbox(path)
                progress = import_messages(store, mailbox, messages, self.report)
            except (OSError, ValueError) as error:
                raise CommandError(str(error)) from error
        self.tell(f"Filed in {mailbox.name} of {user.address}", progress, "were there already")
