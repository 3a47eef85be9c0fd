# SPDX-License-Identifier: MIT
"""Mailboxes, their entries, shared contents, and what was expunged.

RFC 9051 §2.3.1 (UIDs), RFC 7162 §3.1 (mod-sequences), RFC 8474 (object ids), RFC 8514 (save date).
Written only by the group commit (`writer.py`) and its neighbours; nobody outside this package sees these classes,
but for foreign keys by name and the console's lists.
"""

from __future__ import annotations

from django.db import models


class Content(models.Model):
    """The bytes of one message, shared by every entry and queue row that has it (design section 4).

    The message is `head` followed by the body. `head` holds the trace lines that this server put in front
    (Return-Path first: `return_path_size` bytes of it, left out when the message is relayed on). The body is in
    `body`, or in the file that `blob` names. `fields` are header fields for lists, sorting and search. `envelope`,
    `structure` and `preview` are null until somebody has asked for them (`derived.py`).
    """

    ref = models.CharField(max_length=26)
    sha256 = models.CharField(max_length=64)
    head = models.BinaryField(default=b"")
    return_path_size = models.PositiveIntegerField(default=0)
    body = models.BinaryField(null=True)
    blob = models.CharField(max_length=80, blank=True)
    size = models.PositiveBigIntegerField()
    fields = models.JSONField(default=dict)
    envelope = models.JSONField(null=True)
    structure = models.JSONField(null=True)
    preview = models.TextField(null=True)
    created = models.DateTimeField()

    class Meta:
        indexes = [
            models.Index(fields=("ref",), name="content_ref"),
            models.Index(fields=("blob",), name="content_blob", condition=~models.Q(blob="")),
        ]


class Mailbox(models.Model):
    """A folder of a user, or a public one, with the counters that RFC 9051 §2.3.1 and RFC 7162 §3.1 need.

    `modseq` is the highest one given out, so each change takes `modseq + 1`. Names are Unicode with "/" between levels.
    `messages`, `unseen`, `deleted` and `size` count the entries that are not held; each change of entries
    keeps them right: STATUS and the console read no entry.
    """

    user = models.ForeignKey("users.User", on_delete=models.CASCADE, null=True, related_name="mailboxes")
    name = models.CharField(max_length=255)
    special_use = models.CharField(max_length=20, blank=True)
    uid_validity = models.PositiveBigIntegerField()
    uid_next = models.PositiveBigIntegerField(default=1)
    modseq = models.PositiveBigIntegerField(default=1)
    messages = models.PositiveBigIntegerField(default=0)
    unseen = models.PositiveBigIntegerField(default=0)
    deleted = models.PositiveBigIntegerField(default=0)
    size = models.PositiveBigIntegerField(default=0)
    created = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ("user_id", "id")
        verbose_name_plural = "mailboxes"
        constraints = [
            models.UniqueConstraint(fields=("user", "name"), name="mailbox_name_once_for_user"),
            models.UniqueConstraint(fields=("name",), condition=models.Q(user=None), name="public_mailbox_name_once"),
        ]

    def __str__(self) -> str:
        return self.name


class FormerName(models.Model):
    """A name that a mailbox gave up, and its UIDVALIDITY then: the name's next mailbox must have a greater one."""

    user = models.ForeignKey("users.User", on_delete=models.CASCADE, null=True, related_name="+", db_index=False)
    name = models.CharField(max_length=255)
    uid_validity = models.PositiveBigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=("user", "name"), name="former_name_once_for_user"),
            models.UniqueConstraint(fields=("name",), condition=models.Q(user=None), name="former_public_name_once"),
        ]


class Entry(models.Model):
    """A message in a mailbox. `flags` are separated by spaces and sorted.

    `held` entries are invisible to every client (spec services 3.2).
    """

    mailbox = models.ForeignKey(Mailbox, on_delete=models.CASCADE, related_name="entries", db_index=False)
    uid = models.PositiveBigIntegerField()
    modseq = models.PositiveBigIntegerField()
    flags = models.TextField(blank=True)
    size = models.PositiveBigIntegerField()
    internal_date = models.DateTimeField()
    saved = models.DateTimeField()
    held = models.BooleanField(default=False)
    content = models.ForeignKey(Content, on_delete=models.PROTECT, related_name="entries")

    class Meta:
        constraints = [models.UniqueConstraint(fields=("mailbox", "uid"), name="uid_once_in_mailbox")]
        indexes = [models.Index(fields=("mailbox", "modseq"), name="entry_changes")]


class Expunged(models.Model):
    """A UID that is gone, and at which mod-sequence: what VANISHED (EARLIER) answers from (RFC 7162 §3.2.10)."""

    mailbox = models.ForeignKey(Mailbox, on_delete=models.CASCADE, related_name="expunged", db_index=False)
    uid = models.PositiveBigIntegerField()
    modseq = models.PositiveBigIntegerField()

    class Meta:
        indexes = [models.Index(fields=("mailbox", "modseq"), name="expunged_changes")]


class Subscription(models.Model):
    """A name that a user's mail programs shall show; there need not be such a folder (RFC 9051 §6.3.7)."""

    user = models.ForeignKey("users.User", on_delete=models.CASCADE, related_name="subscriptions", db_index=False)
    name = models.CharField(max_length=400)

    class Meta:
        constraints = [models.UniqueConstraint(fields=("user", "name"), name="subscription_once")]


class MailboxAccess(models.Model):
    """A line of a mailbox's access list: what a user, or anyone, may do with it or may not (RFC 4314 §2)."""

    mailbox = models.ForeignKey(Mailbox, on_delete=models.CASCADE, related_name="access", db_index=False)
    user = models.ForeignKey("users.User", on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    negative = models.BooleanField(default=False)
    rights = models.CharField(max_length=20)

    class Meta:
        verbose_name_plural = "mailbox access"
        constraints = [
            models.UniqueConstraint(fields=("mailbox", "user", "negative"), name="access_once_for_user"),
            models.UniqueConstraint(
                fields=("mailbox", "negative"), condition=models.Q(user=None), name="access_once_for_anyone"
            ),
        ]


class Annotation(models.Model):
    """A value that mail programs keep about a mailbox, or without one about the server (RFC 5464).

    `name` is the whole entry name; private ones, which have a `user`, are that user's.
    """

    mailbox = models.ForeignKey(Mailbox, on_delete=models.CASCADE, null=True, related_name="annotations")
    user = models.ForeignKey("users.User", on_delete=models.CASCADE, null=True, related_name="+")
    name = models.CharField(max_length=255)
    value = models.BinaryField()


class RetiredBlob(models.Model):
    """A body file whose content row was deleted: unlinked once a grace period has passed (design section 4)."""

    name = models.CharField(max_length=80, unique=True)
    retired = models.DateTimeField(db_index=True)


class MaildropLock(models.Model):
    """Somebody is using a user's mail: POP3 alone, IMAP4 together (spec services 2.4).

    Dies with its process's heartbeat.
    """

    user = models.ForeignKey("users.User", on_delete=models.CASCADE, related_name="maildrop_locks")
    process = models.ForeignKey("activity.Process", on_delete=models.CASCADE, related_name="maildrop_locks")
    exclusive = models.BooleanField()
    session = models.BigIntegerField()
    created = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=("user",), condition=models.Q(exclusive=True), name="one_exclusive_maildrop_lock"
            )
        ]
