# SPDX-License-Identifier: MIT
"""The mechanisms' machines: the RFCs' own examples, and everything that is malformed."""

from __future__ import annotations

from base64 import b64decode

import pytest

from mailserver.users.scram import derive_scram_verifier
from protocols.sasl.mechanisms import (
    Challenge,
    CheckPassword,
    CheckSecret,
    CramMd5Mechanism,
    FindVerifier,
    Finished,
    LoginMechanism,
    MalformedResponse,
    Mechanism,
    PlainMechanism,
    Proved,
    Refuted,
    ScramMechanism,
    next_stamp,
    offered,
    start_mechanism,
)

# RFC 7677 §3
CLIENT_FIRST = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
SERVER_NONCE = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
SERVER_FIRST = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
CLIENT_FINAL = (
    b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
)
SERVER_FINAL = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
VERIFIER = derive_scram_verifier("pencil", b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="), 4096)


def _scram_challenged(first: bytes = CLIENT_FIRST) -> ScramMechanism:
    mechanism = ScramMechanism(SERVER_NONCE)
    step = mechanism.start(first)
    assert isinstance(step, FindVerifier)
    step.then(VERIFIER)
    return mechanism


def test_scram_as_in_rfc_7677() -> None:
    mechanism = ScramMechanism(SERVER_NONCE)
    step = mechanism.start(CLIENT_FIRST)
    assert isinstance(step, FindVerifier)
    assert step.login == "user"
    assert step.then(VERIFIER) == Challenge(SERVER_FIRST)
    assert mechanism.respond(CLIENT_FINAL) == Proved("user", "", SERVER_FINAL)
    assert mechanism.respond(b"") == Finished()


def test_scram_wrong_proof() -> None:
    wrong = CLIENT_FINAL[:-44] + b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
    assert _scram_challenged().respond(wrong) == Refuted("user")
    assert _scram_challenged().respond(CLIENT_FINAL[:-44] + b"AAAA") == Refuted("user")


def test_scram_names_are_unescaped_and_prepared() -> None:
    step = ScramMechanism().start("n,a=x=2Cy,n=a=2Cb=3Dc\u00aa,r=abc".encode())
    assert isinstance(step, FindVerifier)
    assert step.login == "a,b=ca"


@pytest.mark.parametrize(
    "first",
    [
        b"",
        b"n",
        b"n,,",
        b"n,,n=user",
        b"n,,n=,r=abc",
        b"n,,n=user,r=",
        b"n,,r=abc,n=user",
        b"n,,m=ext,n=user,r=abc",
        b"n,,n=us=er,r=abc",
        b"n,,n=us=2cer,r=abc",
        b"n,,n=user,r=a b",
        b"n,,n=user,r=abc,",
        b"n,,n=us\0er,r=abc",
        b"n,,n=us\xffer,r=abc",
        b"x,,n=user,r=abc",
        b"n,user,n=user,r=abc",
        b"p=tls-unique,,n=user,r=abc",
        b"p=,,n=user,r=abc",
    ],
)
def test_scram_malformed_first_message(first: bytes) -> None:
    with pytest.raises(MalformedResponse):
        ScramMechanism().start(first)


@pytest.mark.parametrize(
    "final",
    [
        b"",
        CLIENT_FINAL.replace(b",p=", b",q="),
        CLIENT_FINAL.replace(b"c=biws", b"c=eSws"),
        CLIENT_FINAL.replace(b"c=biws", b"c=biw"),
        CLIENT_FINAL.replace(b"r=rOpr", b"r=xOpr"),
        CLIENT_FINAL.replace(b"k0,", b"k,"),
        CLIENT_FINAL + b",x=1",
        CLIENT_FINAL[:-1],
        CLIENT_FINAL + b"=",
        b"\xff" * 50,
    ],
)
def test_scram_malformed_final_message(final: bytes) -> None:
    with pytest.raises(MalformedResponse):
        _scram_challenged().respond(final)


def test_scram_client_that_would_have_bound_the_channel_is_welcome() -> None:
    """RFC 5802 §6: `y` is right with a server that does not offer channel binding; only its echo must agree."""
    mechanism = _scram_challenged(b"y" + CLIENT_FIRST[1:])
    with pytest.raises(MalformedResponse):
        mechanism.respond(CLIENT_FINAL)
    mechanism = _scram_challenged(b"y" + CLIENT_FIRST[1:])
    assert mechanism.respond(CLIENT_FINAL.replace(b"biws", b"eSws")) == Refuted("user")


def test_scram_says_nothing_after_the_end() -> None:
    mechanism = _scram_challenged()
    mechanism.respond(CLIENT_FINAL)
    with pytest.raises(MalformedResponse):
        mechanism.respond(b"more")


def test_plain() -> None:
    """RFC 4616 §4."""
    assert PlainMechanism().start(None) == Challenge(b"")
    assert PlainMechanism().start(b"\0tim\0tanstaaftanstaaf") == CheckPassword("tim", "tanstaaftanstaaf")
    assert PlainMechanism().respond(b"Ursel\0Kurt\0xipj3plmq") == CheckPassword("Kurt", "xipj3plmq", "Ursel")
    assert PlainMechanism().respond("\0jörg\0grün".encode()) == CheckPassword("jörg", "grün")


@pytest.mark.parametrize("message", [b"", b"\0", b"\0\0", b"a\0b", b"\0a\0", b"\0\0p", b"\0a\0p\0", b"\0a\0\xff"])
def test_plain_malformed(message: bytes) -> None:
    with pytest.raises(MalformedResponse):
        PlainMechanism().start(message)


def test_login() -> None:
    mechanism = LoginMechanism()
    assert mechanism.start(None) == Challenge(b"Username:")
    assert mechanism.respond(b"alice") == Challenge(b"Password:")
    assert mechanism.respond(b"Secret-1") == CheckPassword("alice", "Secret-1")
    assert LoginMechanism().start(b"alice") == Challenge(b"Password:")


@pytest.mark.parametrize("message", [b"", b"\xff", b"a\0b"])
def test_login_malformed(message: bytes) -> None:
    mechanism = LoginMechanism()
    with pytest.raises(MalformedResponse):
        mechanism.start(message)
    mechanism.start(b"alice")
    with pytest.raises(MalformedResponse):
        mechanism.respond(message)


def test_cram_md5_as_in_rfc_2195() -> None:
    mechanism = CramMd5Mechanism("", b"<1896.697170952@postoffice.reston.mci.net>")
    assert mechanism.start(None) == Challenge(b"<1896.697170952@postoffice.reston.mci.net>")
    step = mechanism.respond(b"tim b913a602c7eda7a495b4e6e7334d3890")
    assert isinstance(step, CheckSecret)
    assert step.login == "tim"
    assert step.matches("tanstaaftanstaaf")
    assert not step.matches("tanstaaftanstaa")


@pytest.mark.parametrize("message", [b"", b"tim", b" " + b"0" * 32, b"tim " + b"0" * 31, b"tim " + b"g" * 32])
def test_cram_md5_malformed(message: bytes) -> None:
    with pytest.raises(MalformedResponse):
        CramMd5Mechanism("mail.example.test").respond(message)


def test_cram_md5_takes_no_initial_response() -> None:
    with pytest.raises(MalformedResponse):
        CramMd5Mechanism("mail.example.test").start(b"")


def test_stamps_never_repeat() -> None:
    stamps = {next_stamp("mail.example.test") for _ in range(100)}
    assert len(stamps) == 100
    assert all(stamp.startswith(b"<") and stamp.endswith(b"@mail.example.test>") for stamp in stamps)


def test_passwords_do_not_show() -> None:
    step = PlainMechanism().start(b"\0tim\0tanstaaf")
    assert "tanstaaf" not in repr(step)


def test_what_is_offered() -> None:
    assert offered(service_offers_cram=False, plain_allowed=False) == ("SCRAM-SHA-256",)
    assert offered(service_offers_cram=True, plain_allowed=False) == ("SCRAM-SHA-256", "CRAM-MD5")
    everything = offered(service_offers_cram=True, plain_allowed=True)
    assert everything == ("SCRAM-SHA-256", "PLAIN", "LOGIN", "CRAM-MD5")
    assert all(isinstance(start_mechanism(name, "mail.example.test"), Mechanism) for name in everything)
