# SPDX-License-Identifier: MIT
"""LAN forwarding in the configuration file: there and back, order kept, passwords kept, wrong lines named."""

from __future__ import annotations

import pytest

from mailserver.config.exchange.exporting import export_config
from mailserver.config.exchange.importing import import_config
from mailserver.connectors import sealing
from mailserver.errors import InvalidInput
from mailserver.lan.services import read_rules

pytestmark = [pytest.mark.django_db, pytest.mark.database]
TEXT = """\
lan_forwarding:
  - {addresses: ["*@branch.test", "~@office.test"], server: 10.0.0.5, port: 587, username: u, password: p4ss}
  - {addresses: ann@a.test, server: "fd00::5", rewrite: "*@inner.test", condition: pop3, comment: hello}
"""


def test_there_and_back() -> None:
    import_config(TEXT)
    first, second = read_rules()
    assert (first.addresses, first.server, first.login) == (("*@branch.test", "~@office.test"), "10.0.0.5:587", "u")
    assert (second.server, second.rewrite, second.condition) == ("[fd00::5]:25", "*@inner.test", "pop3")
    public, secret = str(export_config(secrets=False)), str(export_config(secrets=True))
    assert "p4ss" not in public
    assert "p4ss" in secret
    import_config(public)
    assert str(export_config(secrets=True)) == secret
    assert sealing.unseal(read_rules()[0].secret, sealing.LAN_PASSWORD) == "p4ss"


def test_a_wrong_line_is_named_and_nothing_changes() -> None:
    import_config(TEXT)
    with pytest.raises(InvalidInput, match="has no domain"):
        import_config("lan_forwarding:\n  - {addresses: [robot], server: 10.0.0.9}\n")
    assert len(read_rules()) == 2
