# SPDX-License-Identifier: MIT
"""Messages waiting to leave: one row for each recipient."""

from __future__ import annotations

from django.db import models

DEFAULT_PRIORITY = 50


class QueuedRecipient(models.Model):
    """One recipient of a message that waits, or that is done with; rows of one message share `content` and `ref`.

    The RFC 3461 parameters are kept as they came: `notify` space-separated, `original_recipient` and
    `envelope_id` in xtext. A row that is done with stays for a while, for the queue's page and for reports.
    """

    class Status(models.TextChoices):
        """WAITING and HELD are in the queue; the others are done with."""

        WAITING = "waiting", "Waiting"
        HELD = "held", "Held"
        SENT = "sent", "Sent"
        FAILED = "failed", "Failed"

    class Route(models.TextChoices):
        """Two queues in one table: what Senders take, and what LAN forwarding takes (spec senders 10)."""

        SENDERS = "senders", "Outgoing queue"
        LAN = "lan", "LAN forwarding"

    ref = models.CharField(max_length=26, db_index=True)
    content = models.ForeignKey("store.Content", on_delete=models.PROTECT, related_name="queued")
    user = models.ForeignKey("users.User", on_delete=models.SET_NULL, null=True, related_name="+")
    login = models.CharField(max_length=320, blank=True)
    client = models.CharField(max_length=64, blank=True)
    subject = models.CharField(max_length=400, blank=True)
    reverse_path = models.CharField(max_length=320, blank=True)
    recipient = models.CharField(max_length=320)
    domain = models.CharField(max_length=255, db_index=True)
    notify = models.CharField(max_length=40, blank=True)
    original_recipient = models.CharField(max_length=600, blank=True)
    dsn_return = models.CharField(max_length=4, blank=True)
    envelope_id = models.CharField(max_length=100, blank=True)
    smtputf8 = models.BooleanField(default=False)
    eight_bit = models.BooleanField(default=False)
    size = models.PositiveBigIntegerField()
    route = models.CharField(max_length=10, choices=Route.choices, default=Route.SENDERS)
    lan_server = models.CharField(max_length=300, blank=True)
    """`server[:port]` of a LAN target; its log-in and sealed password beside it."""
    lan_login = models.CharField(max_length=320, blank=True)
    lan_secret = models.BinaryField(null=True)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.WAITING, db_index=True)
    priority = models.PositiveSmallIntegerField(default=DEFAULT_PRIORITY)
    """Smaller goes first (spec senders 8.1)."""
    urgent = models.BooleanField(default=False)
    queued = models.DateTimeField()
    hold_until = models.DateTimeField(null=True)
    """Not before then. Its age, for giving up and warnings, counts from then; releasing sets it to that moment."""
    delete_after = models.DateTimeField(null=True)
    next_attempt = models.DateTimeField(null=True)
    """None: at once."""
    tries = models.PositiveIntegerField(default=0)
    last_attempt = models.DateTimeField(null=True)
    last_server = models.CharField(max_length=300, blank=True)
    last_reply = models.TextField(blank=True)
    """The remote's exact words, or ours where it said none."""
    last_status = models.CharField(max_length=12, blank=True)
    """RFC 3463; empty when none was given."""
    last_remote = models.BooleanField(default=False)
    """Whether `last_reply` is the remote's."""
    warned = models.DateTimeField(null=True)
    reported = models.DateTimeField(null=True)
    """When the sender was told of the outcome, where a report was due."""
    finished = models.DateTimeField(null=True, db_index=True)
    sender = models.ForeignKey("connectors.Sender", on_delete=models.SET_NULL, null=True, related_name="+")
    """Who is sending it now, who sent it last, or who would if something made him run."""
    claim = models.CharField(max_length=200, blank=True, db_index=True)
    """The lease holder that is sending it at the moment; empty when nobody is."""

    class Meta:
        ordering = ("id",)
        indexes = [
            models.Index(
                fields=("route", "priority", "queued", "ref", "id"),
                name="queue_order",
                condition=models.Q(status="waiting"),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.recipient} ({self.get_status_display()})"


IN_QUEUE = (QueuedRecipient.Status.WAITING, QueuedRecipient.Status.HELD)
"""The others are done with, and only kept for a while so that they can be looked up."""


class LanQueuedRecipient(QueuedRecipient):
    """The same rows, for the page of the LAN forwarding queue."""

    class Meta:
        proxy = True
        ordering = ("id",)
        verbose_name = "message for the local network"
        verbose_name_plural = "LAN forwarding queue"


class SendAttempt(models.Model):
    """One try to send to one recipient: which server, when, and what it said (spec senders 8.2)."""

    queued = models.ForeignKey(QueuedRecipient, on_delete=models.CASCADE, related_name="attempts")
    sender = models.ForeignKey("connectors.Sender", on_delete=models.SET_NULL, null=True, related_name="+")
    server = models.CharField(max_length=300, blank=True)
    started = models.DateTimeField(db_index=True)
    result = models.TextField()
    """The reply, so that its first character is the class of it; or our words, beginning with `4` or `5` as well."""
    tls = models.CharField(max_length=60, blank=True)

    class Meta:
        ordering = ("id",)

    def __str__(self) -> str:
        return f"{self.server}: {self.result[:60]}"
