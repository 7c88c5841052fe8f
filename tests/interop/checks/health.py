"""What health checks and load balancers do to the client port, to the byte."""
import asyncio
import re

from harness.terminal import Terminal

from . import check

ANSWER = re.compile(
    rb"<\?xml version='1\.0'\?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx\.jabber\.org/streams' "
    rb"id='(\d+)' from='localhost' version='1\.0'><stream:error>"
    rb"<xml-not-well-formed xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>")


@check
async def telnet_and_control_d(stage):
    """The real `telnet` on a terminal, then Ctrl-D: one byte 0x04. The answer comes at once, in one piece and without
    a newline, and the server closes."""
    ids = set()
    for _ in range(3):
        telnet = Terminal("telnet", stage.server.address, stage.server.starttls)
        try:
            await telnet.shows(rb"Escape character is '\^\]'\.\r\n")
            telnet.type(b"\x04")
            await telnet.shows(rb"Connection closed by foreign host")
            await telnet.ends()
        finally:
            telnet.kill()
        _, _, printed = telnet.printed.partition(b"Escape character is '^]'.\r\n")
        answer = ANSWER.fullmatch(printed.removesuffix(b"Connection closed by foreign host.\r\n"))
        assert answer, f"telnet printed {printed!r}"
        ids.add(answer[1])
    assert len(ids) == 3, f"the stream's id is not fresh: {ids}"
    return answer[0].decode()


@check
async def a_web_browser_on_the_wrong_port(stage):
    """`GET / HTTP/1.1` gets the same bytes as Ctrl-D, and a close."""
    answer = await _probe(stage.server, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert ANSWER.fullmatch(answer), answer


@check
async def a_probe_that_only_connects(stage):
    """0 bytes and FIN: closed without a word, no error is counted, and nothing is logged."""
    server = stage.server
    errors, log = server.metric("meerkat_stream_errors_total"), server.log_text()
    for _ in range(5):
        assert await _probe(server, b"") == b""
    assert server.metric("meerkat_stream_errors_total") == errors
    assert server.log_text() == log, server.log_text()[len(log):]


async def _probe(server, request):
    """Sends that and FIN; everything that comes until the server closes."""
    reader, writer = await asyncio.open_connection(server.address, server.starttls)
    writer.write(request)
    writer.write_eof()
    try:
        return await asyncio.wait_for(reader.read(), 5)
    finally:
        writer.close()
