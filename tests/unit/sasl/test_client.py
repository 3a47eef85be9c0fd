# SPDX-License-Identifier: MIT
"""The clients' machines: the RFCs' own examples, each against our server's half, and servers that cheat."""

from __future__ import annotations

import re
from base64 import b64decode

import pytest

from mailserver.connectors.values import LoginMethod
from mailserver.users.scram import derive_scram_verifier
from protocols.sasl.client import (
    BadChallenge,
    ClientMechanism,
    CramMd5Client,
    LoginClient,
    LoginImpossible,
    OAuthBearerClient,
    PlainClient,
    ScramClient,
    TokenClient,
    XOAuth2Client,
    choose_mechanism,
    start_client,
)
from protocols.sasl.mechanisms import (
    Challenge,
    CheckPassword,
    CheckSecret,
    FindVerifier,
    Finished,
    Proved,
    Refuted,
    Step,
    offered,
    start_mechanism,
)

NONCE = "rOprNGfwEbeRWgbNEkqO"
SERVER_FIRST = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
SERVER_FINAL = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


def test_scram_as_in_rfc_7677() -> None:
    client = ScramClient("user", "pencil", NONCE)
    assert client.initial() == b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
    assert client.respond(SERVER_FIRST) == (
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    )
    assert client.respond(SERVER_FINAL) == b""
    client.finish()


def test_cram_md5_as_in_rfc_2195() -> None:
    client = CramMd5Client("tim", "tanstaaftanstaaf")
    assert client.initial() is None
    response = client.respond(b"<1896.697170952@postoffice.reston.mci.net>")
    assert response == b"tim b913a602c7eda7a495b4e6e7334d3890"
    client.finish()


def test_oauthbearer_as_in_rfc_7628() -> None:
    client = OAuthBearerClient(
        "user@example.com", "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==", "server.example.com", 143
    )
    assert client.initial() == (
        b"n,a=user@example.com,\x01host=server.example.com\x01port=143\x01"
        b"auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01"
    )
    client.finish()


def test_xoauth2_as_google_has_it() -> None:
    client = XOAuth2Client("someuser@example.com", "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg")
    assert client.initial() == (
        b"user=someuser@example.com\x01auth=Bearer ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg\x01\x01"
    )


@pytest.mark.parametrize(
    ("client", "challenge", "answer", "explanation"),
    [
        (
            OAuthBearerClient("u", "t", "h", 1),
            b'{"status":"invalid_token","scope":"example_scope"}',
            b"\x01",
            "invalid_token",
        ),
        (XOAuth2Client("u", "t"), b'{"status":"401","schemes":"bearer mac","scope":"x"}', b"", "401"),
        (XOAuth2Client("u", "t"), b'{"error":"a","error_description":"b"}', b"", "a: b"),
        (XOAuth2Client("u", "t"), b"go away\xff", b"", "go away\ufffd"),
        (XOAuth2Client("u", "t"), b"[1]", b"", "[1]"),
        (XOAuth2Client("u", "t"), b"", b"", ""),
    ],
)
def test_a_token_is_refused(client: TokenClient, challenge: bytes, answer: bytes, explanation: str) -> None:
    """RFC 7628 §3.2.2: the refusal is acknowledged, whatever it says, and only then does the server fail."""
    assert not client.refused
    assert client.respond(challenge) == answer
    assert client.refused
    assert client.explanation == explanation
    with pytest.raises(BadChallenge):
        client.respond(challenge)
    with pytest.raises(BadChallenge):
        client.finish()


def _converse(client: ClientMechanism, password: str) -> Step:
    """Our client against our server, as `login.py` runs it; the last step."""
    server = start_mechanism(client.name, "mail.example.test")
    step = server.start(client.initial())
    while True:
        match step:
            case Challenge(data):
                step = server.respond(client.respond(data))
            case FindVerifier(_, then):
                step = then(derive_scram_verifier(password, b"salt of 16 bytes", 4096))
            case Proved(_, _, final):
                step = server.respond(client.respond(final))
            case _:
                return step


@pytest.mark.parametrize(
    ("username", "password"), [("anne", "s3cret"), ("a,b=c", "pass,=word"), ("zoë", "pä\u00aass wörd")]
)
def test_our_server_understands_every_client(username: str, password: str) -> None:
    step = _converse(PlainClient(username, password), password)
    assert step == CheckPassword(username, password, "")
    step = _converse(LoginClient(username, password), password)
    assert step == CheckPassword(username, password, "")
    step = _converse(CramMd5Client(username, password), password)
    assert isinstance(step, CheckSecret)
    assert step.login == username
    assert step.matches(password)
    assert not step.matches(password + "x")
    scram = ScramClient(username, password)
    assert _converse(scram, password) == Finished()
    scram.finish()
    assert _converse(ScramClient(username, "wrong"), password) == Refuted(username)


@pytest.mark.parametrize(
    "challenge",
    [
        b"",
        b"r=other,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        b"r=rOprNGfwEbeRWgbNEkqO,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",  # nothing added to our nonce
        b"m=x," + SERVER_FIRST,
        SERVER_FIRST.replace(b"i=4096", b"i=4095"),
        SERVER_FIRST.replace(b"i=4096", b"i=1000001"),
        SERVER_FIRST.replace(b"i=4096", b"i=99999999999"),
        SERVER_FIRST.replace(b"i=4096", b"i=-1"),
        SERVER_FIRST.replace(b"s=W22", b"s=W=22"),
        b"e=other-error",
    ],
)
def test_scram_first_challenges_that_cheat(challenge: bytes) -> None:
    with pytest.raises(BadChallenge):
        ScramClient("user", "pencil", NONCE).respond(challenge)


@pytest.mark.parametrize(
    "final",
    [
        b"",
        b"v=",
        b"v=AAAA",
        b"v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        b"v=A=A",
        b"x=y",
        b"e=unknown-user",
    ],
)
def test_scram_servers_that_do_not_know_the_password(final: bytes) -> None:
    client = ScramClient("user", "pencil", NONCE)
    client.respond(SERVER_FIRST)
    with pytest.raises(BadChallenge):
        client.respond(final)
    with pytest.raises(BadChallenge):
        client.finish()
    assert client.explanation == ("unknown-user" if final.startswith(b"e=") else "")


def test_success_without_proof_is_none() -> None:
    client = ScramClient("user", "pencil", NONCE)
    with pytest.raises(BadChallenge):
        client.finish()
    client.respond(SERVER_FIRST)
    with pytest.raises(BadChallenge):
        client.finish()


@pytest.mark.parametrize(
    ("client", "steps"),
    [
        (PlainClient("u", "p"), 0),
        (LoginClient("u", "p"), 2),
        (CramMd5Client("u", "p"), 1),
    ],
)
def test_servers_that_never_have_enough(client: ClientMechanism, steps: int) -> None:
    for _ in range(steps):
        client.respond(b"more")
    with pytest.raises(BadChallenge):
        client.respond(b"more")


def test_scram_has_two_steps() -> None:
    client = ScramClient("user", "pencil", NONCE)
    client.respond(SERVER_FIRST)
    client.respond(SERVER_FINAL)
    with pytest.raises(BadChallenge):
        client.respond(b"")


AUTOMATIC = LoginMethod.AUTOMATIC
ALL = ("LOGIN", "plain", "CRAM-MD5", "SCRAM-SHA-256", "XOAUTH2", "OAUTHBEARER", "GSSAPI")


@pytest.mark.parametrize(
    ("method", "names", "private", "with_token", "chosen"),
    [
        (AUTOMATIC, ALL, True, False, "SCRAM-SHA-256"),
        (AUTOMATIC, ALL, False, False, "SCRAM-SHA-256"),
        (AUTOMATIC, ("CRAM-MD5", "PLAIN"), True, False, "PLAIN"),
        (AUTOMATIC, ("CRAM-MD5", "PLAIN"), False, False, "CRAM-MD5"),
        (AUTOMATIC, ("LOGIN",), False, False, "LOGIN"),
        (AUTOMATIC, ALL, True, True, "OAUTHBEARER"),
        (AUTOMATIC, ("XOAUTH2", "PLAIN"), True, True, "XOAUTH2"),
        (LoginMethod.XOAUTH2, ALL, True, True, "XOAUTH2"),
        (LoginMethod.OAUTHBEARER, ALL, True, True, "OAUTHBEARER"),
        (LoginMethod.PLAIN, ALL, False, False, "PLAIN"),
        (LoginMethod.LOGIN, ALL, True, False, "LOGIN"),
        (LoginMethod.CRAM_MD5, ALL, True, False, "CRAM-MD5"),
        (LoginMethod.PLAIN, ALL, True, True, "OAUTHBEARER"),
    ],
)
def test_what_is_chosen(
    method: LoginMethod, names: tuple[str, ...], private: bool, with_token: bool, chosen: str
) -> None:
    assert choose_mechanism(method, names, private=private, with_token=with_token) == chosen
    client = start_client(chosen, "user", password="secret", token="token", host="mail.example.test", port=993)
    assert client.name == chosen


@pytest.mark.parametrize(
    ("method", "names", "private", "with_token", "text"),
    [
        (AUTOMATIC, (), True, False, r"does not offer any log-in method .* \(it offers: none\)"),
        (AUTOMATIC, ("GSSAPI", "XOAUTH2"), True, False, r"it offers: GSSAPI, XOAUTH2"),
        (AUTOMATIC, ("PLAIN",), True, True, "does not offer any"),
        (AUTOMATIC, ALL, False, True, "encrypted connection only"),
        (LoginMethod.XOAUTH2, ALL, True, False, "No OAuth2 account is chosen"),
        (LoginMethod.XOAUTH2, ("OAUTHBEARER",), True, True, "does not offer XOAUTH2"),
        (LoginMethod.CRAM_MD5, ("PLAIN",), True, False, "does not offer CRAM-MD5"),
        (LoginMethod.APOP, ALL, True, False, "cannot log anybody in by APOP"),
    ],
)
def test_what_cannot_be_chosen(
    method: LoginMethod, names: tuple[str, ...], private: bool, with_token: bool, text: str
) -> None:
    with pytest.raises(LoginImpossible, match=text):
        choose_mechanism(method, names, private=private, with_token=with_token)


def test_what_our_server_offers_can_be_chosen() -> None:
    for name in offered(service_offers_cram=True, plain_allowed=True):
        assert choose_mechanism(AUTOMATIC, (name,), private=True) == name


@pytest.mark.parametrize("token", ["", "two\x01parts", "line\r\n", "tökén"])
def test_tokens_that_would_end_the_message(token: str) -> None:
    with pytest.raises(LoginImpossible):
        start_client("XOAUTH2", "user", token=token)


@pytest.mark.parametrize("name", ["PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256"])
def test_nul_characters_go_nowhere(name: str) -> None:
    with pytest.raises(LoginImpossible):
        start_client(name, "us\0er", password="secret")


def test_the_nonce_is_fresh_and_printable() -> None:
    first, second = ScramClient("u", "p").initial(), ScramClient("u", "p").initial()
    assert first != second
    assert re.fullmatch(rb"n,,n=u,r=[!-+\--~]{20,}", first)


def test_a_salt_of_any_length() -> None:
    verifier = derive_scram_verifier("pencil", b64decode("QQ=="), 4096)
    assert verifier.salt == b"A"
    client = ScramClient("user", "pencil", NONCE)
    assert client.respond(b"r=" + NONCE.encode() + b"x,s=QQ==,i=4096").startswith(
        b"c=biws,r=" + NONCE.encode() + b"x,p="
    )
