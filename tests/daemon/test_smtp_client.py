# SPDX-License-Identifier: MIT
"""The sending client against servers that behave, and against servers that do not: a verdict for everybody, always."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from mailserver.connectors.values import Credentials, Encryption, LoginMethod
from mailserver.values import Address
from protocols.smtp import client as smtp_client
from protocols.smtp.client import CannotSend, SessionOptions, SmtpClient, Stage, open_session
from protocols.smtp.client_grammar import OutgoingRecipient
from protocols.smtp.client_transaction import Delivery, Outcome, OutgoingMessage
from tests.support.certificates import client_context, server_context
from tests.support.remote_smtp import CLOSE, GOOD_MANNERS, RESET, SILENCE, RemoteSmtp
from tests.support.waiting import until

TEXT = b"Subject: hello\r\n\r\n.dots\r\n..\r\nand more\r\n"
ANN, BOB, EVA = (Address(name, "example.org") for name in ("ann", "bob", "eva"))
PLAIN = SessionOptions("localhost", "office.example", Encryption.NONE)
WAYS = {
    "pipelining": GOOD_MANNERS,
    "stepwise": ("8BITMIME",),
    "chunking": (*GOOD_MANNERS, "CHUNKING"),
    "chunking-stepwise": ("CHUNKING",),
}
SENT, DEFERRED, REFUSED = Outcome.SENT, Outcome.DEFERRED, Outcome.REFUSED


def message(text: bytes = TEXT, recipients: Sequence[Address] = (ANN, BOB), **more: object) -> OutgoingMessage:
    pieces = [text[start : start + 65536] for start in range(0, len(text), 65536)]
    to = tuple(OutgoingRecipient(address) for address in recipients)
    return OutgoingMessage(EVA, to, len(text), lambda: iter(pieces), **more)  # type: ignore[arg-type]


async def connect(server: RemoteSmtp, options: SessionOptions = PLAIN, lines: list[str] | None = None) -> SmtpClient:
    return await open_session("127.0.0.1", server.port, options, lines.append if lines is not None else lambda _: None)


def outcomes(delivery: Delivery) -> list[Outcome]:
    return [verdict.outcome for verdict in delivery.verdicts]


@pytest.fixture(params=WAYS.values(), ids=WAYS)
def keywords(request: pytest.FixtureRequest) -> Sequence[str]:
    return request.param


async def test_many_messages_in_one_session(keywords: Sequence[str]) -> None:
    with RemoteSmtp(keywords) as server:
        client = await connect(server)
        for _ in range(3):
            delivery = await client.send(message())
            assert outcomes(delivery) == [SENT, SENT]
            assert delivery.verdicts[0].text == "250 2.0.0 taken"
        await client.quit()
    assert [taken.data for taken in server.messages] == [TEXT] * 3
    assert server.sessions == 1
    assert server.messages[0].recipients == [f"RCPT TO:<{address}>" for address in (ANN, BOB)]


@pytest.mark.parametrize("size", [70_000, 3_000_000])
async def test_a_large_message(keywords: Sequence[str], size: int) -> None:
    text = b"".join(b".line %d\r\n" % number for number in range(size // 12))
    with RemoteSmtp(keywords) as server:
        client = await connect(server)
        assert outcomes(await client.send(message(text))) == [SENT, SENT]
        assert outcomes(await client.send(message())) == [SENT, SENT]
        await client.quit()
    assert hashlib.sha256(server.messages[0].data).digest() == hashlib.sha256(text).digest()


async def test_each_recipient_has_its_own_verdict(keywords: Sequence[str]) -> None:
    answers = {
        "RCPT TO:<ann@example.org>": b"550-5.1.1 there is\r\n550 5.1.1 no ann\r\n",
        "RCPT TO:<bob@example.org>": b"450 4.2.1 bob is busy\r\n",
    }
    with RemoteSmtp(keywords, answers) as server:
        client = await connect(server)
        delivery = await client.send(message(recipients=(ANN, BOB, EVA)))
        assert outcomes(delivery) == [REFUSED, DEFERRED, SENT]
        assert [verdict.text for verdict in delivery.verdicts[:2]] == [
            "550-5.1.1 there is\n550 5.1.1 no ann",
            "450 4.2.1 bob is busy",
        ]
        assert [verdict.enhanced for verdict in delivery.verdicts] == ["5.1.1", "4.2.1", "2.0.0"]
        nobody = await client.send(message(recipients=(ANN, BOB)))
        assert outcomes(nobody) == [REFUSED, DEFERRED]
        assert outcomes(await client.send(message(recipients=(EVA,)))) == [SENT]
        await client.quit()
    assert [len(taken.recipients) for taken in server.messages] == [1, 1]


REFUSALS = [
    ("MAIL", b"550 5.7.1 not you\r\n", REFUSED),
    ("MAIL", b"451 4.3.0 later\r\n", DEFERRED),
    ("RCPT", b"550 5.1.1 nobody\r\n", REFUSED),
    ("DATA", b"451 4.3.0 later\r\n", DEFERRED),
    ("DATA", b"554 5.3.0 never\r\n", REFUSED),
    ("end", b"452 4.3.1 full\r\n", DEFERRED),
    ("end", b"554-5.6.0 this is\r\n554 5.6.0 spam\r\n", REFUSED),
]


@pytest.mark.parametrize(("step", "reply", "outcome"), REFUSALS)
@pytest.mark.parametrize("way", ["pipelining", "stepwise"])
async def test_a_refusal_at_each_step_and_then_the_next_message(
    step: str, reply: bytes, outcome: Outcome, way: str
) -> None:
    with RemoteSmtp(WAYS[way], {step: [reply] * (2 if step == "RCPT" else 1)}) as server:
        client = await connect(server)
        delivery = await client.send(message())
        assert outcomes(delivery) == [outcome, outcome]
        assert delivery.verdicts[0].text == reply.decode().strip().replace("\r\n", "\n")
        assert outcomes(await client.send(message())) == [SENT, SENT]
        await client.quit()
    assert len(server.messages) == 1


MISBEHAVIOUR = {
    "reset": RESET,
    "close": CLOSE,
    "421": b"421 4.3.2 going down\r\n",
    "junk": b"250-well\r\nthis is no reply\r\n",
    "endless": b"250-" + b"x" * 10000,
}


@pytest.mark.parametrize("what", MISBEHAVIOUR)
@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA", "end"])
@pytest.mark.parametrize("way", ["pipelining", "stepwise"])
async def test_misbehaviour_leaves_the_message_deferred(what: str, step: str, way: str) -> None:
    with RemoteSmtp(WAYS[way], {step: MISBEHAVIOUR[what]}) as server:
        client = await connect(server)
        delivery = await client.send(message())
        assert outcomes(delivery) == [DEFERRED, DEFERRED]
        assert not client.usable
        text = delivery.verdicts[-1].text
        assert text.startswith("4")
        if what == "421":
            assert "421 4.3.2 going down" in text
        await client.quit()


@pytest.mark.parametrize("what", MISBEHAVIOUR)
@pytest.mark.parametrize("step", ["greeting", "EHLO"])
async def test_misbehaviour_before_the_first_message(what: str, step: str) -> None:
    with RemoteSmtp(answers={step: MISBEHAVIOUR[what]}) as server:
        with pytest.raises(CannotSend) as raised:
            await connect(server)
        assert raised.value.text.endswith(".") or "421" in raised.value.text
        assert raised.value.answered is (what == "421")


async def test_taken_then_reset() -> None:
    """250 is on the way when the connection breaks: what was heard counts."""
    with RemoteSmtp(answers={"QUIT": RESET}) as server:
        client = await connect(server)
        assert outcomes(await client.send(message())) == [SENT, SENT]
        await client.quit()


async def test_it_may_have_arrived_and_says_so() -> None:
    with RemoteSmtp(answers={"end": RESET}) as server:
        client = await connect(server)
        delivery = await client.send(message())
    assert "may have taken the message" in delivery.verdicts[0].text


async def test_a_session_that_ended_meanwhile_is_stale() -> None:
    with RemoteSmtp(answers={"MAIL": [b"", b"421 4.7.0 enough for now\r\n"]}) as server:
        client = await connect(server)
        assert outcomes(await client.send(message())) == [SENT, SENT]
        delivery = await client.send(message())
        assert delivery.stale
        assert outcomes(delivery) == [DEFERRED, DEFERRED]
        again = await client.send(message())
        assert again.stale


async def test_a_server_that_says_nothing() -> None:
    options = replace(PLAIN, timeout_seconds=1)
    with RemoteSmtp(answers={"RCPT": SILENCE}) as server:
        client = await connect(server, options)
        delivery = await client.send(message())
        assert outcomes(delivery) == [DEFERRED, DEFERRED]
        assert "did not answer within 1 seconds" in delivery.verdicts[0].text


async def test_what_the_server_cannot_take_is_not_sent() -> None:
    with RemoteSmtp(("SIZE 10",)) as server:
        client = await connect(server)
        delivery = await client.send(message())
        assert delivery.verdicts[0].text.startswith("552 5.3.4 ")
        small = await client.send(message(b"\xc3\xbc\r\n", smtputf8=True, header=b"Subject: \xc3\xbc\r\n"))
        assert small.verdicts[0].text.startswith("553 5.6.7 ")
        fine = await client.send(message(b"a\r\n", smtputf8=True, header=b"a\r\n"))
        assert outcomes(fine) == [SENT, SENT]
        await client.quit()
    assert server.commands[1].startswith("MAIL")


async def test_recipients_that_the_server_cannot_be_told_of(keywords: Sequence[str]) -> None:
    """A list or a forwarder may name one in a message that needs no SMTPUTF8 itself."""
    gruen = Address("grün", "example.org")
    with RemoteSmtp([word for word in keywords if word != "SMTPUTF8"]) as server:
        client = await connect(server)
        delivery = await client.send(message(recipients=(ANN, gruen, BOB)))
        assert outcomes(delivery) == [SENT, REFUSED, SENT]
        assert delivery.verdicts[1].text.startswith("553 5.6.7 ")
        assert outcomes(await client.send(message(recipients=(gruen,)))) == [REFUSED]
        await client.quit()
    assert server.messages[0].recipients == [f"RCPT TO:<{address}>" for address in (ANN, BOB)]
    with RemoteSmtp() as server:
        client = await connect(server)
        assert outcomes(await client.send(message(recipients=(gruen,)))) == [SENT]
        await client.quit()
    assert server.messages[0].mail.endswith(" SMTPUTF8")


async def test_an_envelope_that_would_be_two_commands_is_not_sent(keywords: Sequence[str]) -> None:
    with RemoteSmtp(keywords) as server:
        client = await connect(server)
        odd = await client.send(message(recipients=(Address("x\r\nDATA", "example.org"),)))
        assert outcomes(odd) == [REFUSED]
        assert outcomes(await client.send(message())) == [SENT, SENT]
        await client.quit()
    assert [len(taken.recipients) for taken in server.messages] == [2]


@pytest.mark.parametrize("missing", [-3, 3])
async def test_a_stored_message_of_another_size_is_not_sent(missing: int) -> None:
    """What is too much would be taken for commands, and what is too little would swallow the next ones."""
    with RemoteSmtp(WAYS["chunking"]) as server:
        client = await connect(server)
        delivery = await client.send(replace(message(), size=len(TEXT) + missing))
        assert outcomes(delivery) == [DEFERRED, DEFERRED]
        assert not client.usable
    assert server.messages == []


async def test_a_stored_message_that_cannot_be_read(keywords: Sequence[str]) -> None:
    def chunks() -> Iterator[bytes]:
        raise FileNotFoundError(2, "No such file or directory")
        yield b""

    with RemoteSmtp(keywords) as server:
        client = await connect(server)
        delivery = await client.send(replace(message(), chunks=chunks))
        assert outcomes(delivery) == [DEFERRED, DEFERRED]
        assert "cannot be read here: No such file" in delivery.verdicts[0].text
    assert server.messages == []


async def test_a_server_that_talks_without_end() -> None:
    """Nothing is lost of what was asked for, and of the rest not more is read than fits into buffers."""
    flood = b"250 2.0.0 taken\r\n" + b"250 blah\r\n" * 500_000
    with RemoteSmtp(answers={"end": flood}) as server:
        client = await connect(server)
        assert outcomes(await client.send(message())) == [SENT, SENT]
        transport = client._wire.transport
        assert transport is not None
        await until(lambda: not transport.is_reading(), 10, "the client to read no more")
        assert len(client._wire._replies) < 100_000
        assert (await client.send(message())).stale
        assert not client.usable
        await until(lambda: not server._open, 10, "the server to notice")


async def test_what_mail_and_rcpt_carry() -> None:
    recipient = OutgoingRecipient(ANN, "SUCCESS,DELAY", "rfc822;a@b.example")
    sent = replace(message(), recipients=(recipient,), eight_bit=True, dsn_return="FULL", envelope_id="id1")
    with RemoteSmtp() as server:
        client = await connect(server)
        assert (await client.send(sent)).dsn
        await client.quit()
    assert f"MAIL FROM:<eva@example.org> SIZE={len(TEXT)} BODY=8BITMIME RET=FULL ENVID=id1" in server.commands
    assert "RCPT TO:<ann@example.org> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a@b.example" in server.commands


# ---------------------------------------------------------------- TLS and logging in


async def test_tls_when_it_is_offered() -> None:
    with RemoteSmtp(tls=server_context()) as server:
        client = await connect(server, replace(PLAIN, encryption=Encryption.OPPORTUNISTIC))
        assert client.tls.startswith("TLSv1.")
        assert outcomes(await client.send(message())) == [SENT, SENT]
        await client.quit()
    assert server.messages[0].tls


async def test_no_tls_where_none_is_offered() -> None:
    with RemoteSmtp() as server:
        client = await connect(server, replace(PLAIN, encryption=Encryption.OPPORTUNISTIC))
        assert client.tls == ""
        await client.quit()
        with pytest.raises(CannotSend, match="does not offer encryption"):
            await connect(server, replace(PLAIN, encryption=Encryption.STARTTLS))
    assert server.messages == []


async def test_tls_that_is_refused() -> None:
    with RemoteSmtp(tls=server_context(), answers={"STARTTLS": b"454 4.7.0 not now\r\n"}) as server:
        client = await connect(server, replace(PLAIN, encryption=Encryption.OPPORTUNISTIC))
        await client.quit()
        with pytest.raises(CannotSend, match="refuses encryption"):
            await connect(server, replace(PLAIN, encryption=Encryption.STARTTLS))


async def test_a_server_that_hangs_up_when_encryption_is_to_begin() -> None:
    options = replace(PLAIN, encryption=Encryption.OPPORTUNISTIC)
    with RemoteSmtp(answers={"STARTTLS": CLOSE}, tls=server_context()) as server, pytest.raises(CannotSend) as caught:
        await connect(server, options)
    assert caught.value.stage is Stage.TLS


@pytest.mark.parametrize("from_start", [False, True])
async def test_a_name_that_no_certificate_can_have(from_start: bool) -> None:
    """MX records may name anything."""
    encryption = Encryption.TLS if from_start else Encryption.OPPORTUNISTIC
    with RemoteSmtp(tls=server_context(), tls_from_start=from_start) as server:
        for name in (f"{'x' * 64}.example", ".example", "a..example"):
            with pytest.raises(CannotSend) as caught:
                await connect(server, replace(PLAIN, name=name, encryption=encryption))
            assert caught.value.stage is Stage.TLS


async def test_words_before_the_handshake_end_the_session() -> None:
    """RFC 3207 §4.2: they may be somebody else's."""
    injected = b"220 go ahead\r\n250 smuggled\r\n"
    with (
        RemoteSmtp(tls=server_context(), answers={"STARTTLS": injected}) as server,
        pytest.raises(CannotSend, match="before encryption"),
    ):
        await connect(server, replace(PLAIN, encryption=Encryption.STARTTLS))


async def test_tls_from_the_first_byte() -> None:
    with RemoteSmtp(tls=server_context(), tls_from_start=True) as server:
        client = await connect(server, replace(PLAIN, encryption=Encryption.TLS))
        assert outcomes(await client.send(message())) == [SENT, SENT]
        await client.quit()
    with RemoteSmtp(answers={"greeting": b"220 no TLS here\r\n"}) as server:
        with pytest.raises(CannotSend) as raised:
            await connect(server, replace(PLAIN, encryption=Encryption.TLS))
        assert raised.value.stage is Stage.TLS


@pytest.mark.parametrize("from_start", [True, False])
async def test_a_certificate_that_does_not_match(monkeypatch: pytest.MonkeyPatch, from_start: bool) -> None:
    monkeypatch.setattr(smtp_client, "client_context", lambda verify, oldest: client_context())
    encryption = Encryption.TLS if from_start else Encryption.STARTTLS
    options = replace(PLAIN, encryption=encryption, verify_certificate=True)
    with RemoteSmtp(tls=server_context(), tls_from_start=from_start) as server:
        client = await connect(server, options)
        await client.quit()
        with pytest.raises(CannotSend, match=r"certificate of elsewhere\.example is not valid") as raised:
            await connect(server, replace(options, name="elsewhere.example"))
        assert raised.value.stage is Stage.TLS
        assert not raised.value.answered


async def test_a_certificate_of_nobody_is_refused_where_it_is_checked() -> None:
    with RemoteSmtp(tls=server_context()) as server:
        with pytest.raises(CannotSend, match="is not valid"):
            await connect(server, replace(PLAIN, encryption=Encryption.STARTTLS, verify_certificate=True))
        assert "MAIL" not in " ".join(server.commands)


@pytest.mark.parametrize("method", [LoginMethod.PLAIN, LoginMethod.LOGIN, LoginMethod.AUTOMATIC])
async def test_logging_in(method: LoginMethod) -> None:
    lines: list[str] = []
    with RemoteSmtp(passwords={"office": "s3cret"}) as server:
        options = replace(PLAIN, credentials=Credentials(method, "office", "s3cret"))
        client = await connect(server, options, lines)
        assert outcomes(await client.send(message())) == [SENT, SENT]
        await client.quit()
        wrong = replace(options, credentials=Credentials(method, "office", "wrong"))
        with pytest.raises(CannotSend, match=r"535 5\.7\.8 wrong") as raised:
            await connect(server, wrong)
        assert raised.value.answered
    assert "b2ZmaWNl" not in "".join(lines)
    assert "czNjcmV0" not in "".join(lines)
    assert any("***" in line for line in lines)


async def test_a_log_in_that_is_not_offered() -> None:
    with RemoteSmtp() as server:
        options = replace(PLAIN, credentials=Credentials(LoginMethod.AUTOMATIC, "office", "s3cret"))
        with pytest.raises(CannotSend, match="does not offer any log-in"):
            await connect(server, options)


async def test_nobody_listens() -> None:
    with RemoteSmtp() as server:
        port = server.port
    with pytest.raises(CannotSend, match="cannot be reached") as raised:
        await open_session("127.0.0.1", port, PLAIN)
    assert raised.value.stage is Stage.CONNECT
    assert not raised.value.answered


async def test_a_script_may_take_another_reply() -> None:
    asked = []

    async def ask(command: str, reply: str) -> str | None:
        asked.append(command)
        return "550 5.1.1 never\r\n" if reply.startswith("450") else None

    with RemoteSmtp(answers={"RCPT": b"450 4.2.0 busy\r\n"}) as server:
        client = await open_session("127.0.0.1", server.port, PLAIN, ask=ask)
        delivery = await client.send(message())
        assert outcomes(delivery) == [REFUSED, REFUSED]
        assert delivery.verdicts[0].text == "550 5.1.1 never"
        await client.quit()
    assert "EHLO office.example" in asked


async def test_helo_where_ehlo_is_unknown() -> None:
    with RemoteSmtp(answers={"EHLO": b"502 what?\r\n"}) as server:
        client = await connect(server)
        assert outcomes(await client.send(message())) == [SENT, SENT]
        await client.quit()
    assert "HELO office.example" in server.commands
