# SPDX-License-Identifier: MIT
"""A DNS server on loopback that answers from a table, over UDP and TCP; in a thread of its own.

A name of the table maps record types to their texts (`{"example.org": {"MX": ["10 mx.example.org."]}}`). A text
instead of the types is what goes wrong: SERVFAIL, REFUSED, or SILENCE. What is not in the table does not exist.
"""

from __future__ import annotations

import asyncio
import struct
import threading
from collections.abc import Mapping, Sequence

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

SERVFAIL, REFUSED, SILENCE = "SERVFAIL", "REFUSED", "SILENCE"
UDP_BYTES = 512
SOA = "ns.invalid. hostmaster.invalid. 1 3600 600 86400 60"

Records = Mapping[str, Sequence[str]]


class DnsServer:
    """Use as a context manager; `port` is open then, for both, on 127.0.0.1. The table may be changed meanwhile."""

    def __init__(self, table: Mapping[str, Records | str], ttl: int = 60) -> None:
        self.table = dict(table)
        self.ttl = ttl
        self.port = 0
        self.questions: list[str] = []
        """`name type`, in the order in which they came."""
        self.over_tcp = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def address(self) -> str:
        """As a list of DNS servers has it."""
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> DnsServer:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        tcp = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = tcp.sockets[0].getsockname()[1]
        udp, _ = self._loop.run_until_complete(
            self._loop.create_datagram_endpoint(lambda: _Udp(self), local_addr=("127.0.0.1", self.port))
        )
        self._ready.set()
        self._loop.run_forever()
        udp.close()
        tcp.close()
        self._loop.run_until_complete(tcp.wait_closed())
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        (length,) = struct.unpack("!H", await reader.readexactly(2))
        self.over_tcp += 1
        answer = self.answer(await reader.readexactly(length))
        if answer is not None:
            wire = answer.to_wire()
            writer.write(struct.pack("!H", len(wire)) + wire)
            await writer.drain()
        writer.close()

    def answer(self, wire: bytes) -> dns.message.Message | None:
        """What to say to a question; None: nothing."""
        query = dns.message.from_wire(wire)
        question = query.question[0]
        kind = dns.rdatatype.to_text(question.rdtype)
        name = question.name.to_text(omit_final_dot=True).lower()
        self.questions.append(f"{name} {kind}")
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        found = self.table.get(name)
        if isinstance(found, str):
            if found == SILENCE:
                return None
            response.set_rcode(dns.rcode.from_text(found))
            return response
        self._fill(response, question.name, kind)
        return response

    def _fill(self, response: dns.message.Message, name: dns.name.Name, kind: str) -> None:
        """Aliases are followed, as a recursive server does."""
        while True:
            records = self.table.get(name.to_text(omit_final_dot=True).lower())
            if records is None or isinstance(records, str):
                response.set_rcode(dns.rcode.NXDOMAIN if records is None else dns.rcode.SERVFAIL)
                break
            if "CNAME" in records:
                self._add(response, name, "CNAME", records["CNAME"])
                name = dns.name.from_text(records["CNAME"][0])
                continue
            if records.get(kind):
                self._add(response, name, kind, records[kind])
                return
            break
        soa = dns.rrset.from_text(dns.name.from_text("invalid"), 60, "IN", "SOA", SOA)
        response.authority.append(soa)

    def _add(self, response: dns.message.Message, name: dns.name.Name, kind: str, texts: Sequence[str]) -> None:
        response.answer.append(dns.rrset.from_text(name, self.ttl, "IN", kind, *texts))


class _Udp(asyncio.DatagramProtocol):
    """Too long for a datagram: truncated, so that the client comes again over TCP."""

    def __init__(self, server: DnsServer) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        assert self._transport is not None
        answer = self._server.answer(data)
        if answer is None:
            return
        wire = answer.to_wire()
        if len(wire) > UDP_BYTES:
            short = dns.message.make_response(dns.message.from_wire(data))
            short.flags |= dns.flags.TC | dns.flags.RA
            wire = short.to_wire()
        self._transport.sendto(wire, address)
