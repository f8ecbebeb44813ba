"""What a connection takes for a repeated head, held against the parser that never skips one."""

import asyncio

import pytest
import uvicorn
from hypothesis import given, settings
from hypothesis import strategies as st
from uvicorn.server import ServerState

from functions.calls.problems import Response
from functions.local.connection import LESSONS, CallProtocol
from functions.local.head import MAX_HEAD, Head

PATH = b"/v1/models/sentiment/predict"
HEADS = (
    b"POST %b HTTP/1.1\r\nhost: x\r\nx-api-key: pp_live_1\r\ncontent-length: %d\r\n\r\n",
    b"POST %b HTTP/1.1\r\nContent-Length: %d\r\nIdempotency-Key: %b\r\nConnection: keep-alive\r\n\r\n",
    b"POST %b HTTP/1.1\r\nIdempotency-Key:\t%b\r\nContent-Length:   %d\r\n\r\n",
)


class Wire:
    """A transport that notes what happens to it."""

    def __init__(self):
        self.events, self.closing = [], False

    def __getattr__(self, name):
        return lambda *arguments: None

    def write(self, data):
        self.events.append(("write", data.partition(b"x-request-id")[0]))

    def is_closing(self):
        return self.closing

    def close(self):
        self.closing = True
        self.events.append(("close",))


class Clerk:
    """Notes the calls it is given, and answers them when told to."""

    def __init__(self, events):
        self.events, self.open = events, []

    def call(self, exchange):
        request = exchange.request
        read = {name: value for name, value in request.headers.items() if name != "content-length"}
        self.events.append(("call", request.method, request.path, exchange.model, read, request.body))
        self.open.append(exchange)

    def refuse(self, exchange, problem):
        self.events.append(("refuse", problem.kind))
        self.open.append(exchange)

    def answer(self):
        while self.open:
            self.open.pop(0).send(Response(200, {}, b"fine"))

    async def __call__(self, scope, receive, send):
        self.events.append(("other", scope["method"], scope["path"]))
        await send({"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})


class Talk:
    """One connection, on which a client sends and every call is answered after each of its pieces."""

    def __init__(self, loop, lessons):
        self.loop, self.wire = loop, Wire()
        self.clerk = Clerk(self.wire.events)
        config = uvicorn.Config(
            self.clerk, http=CallProtocol, ws="none", interface="asgi3", proxy_headers=False, log_config=None
        )
        config.load()
        self.protocol = CallProtocol(config=config, server_state=ServerState(), app_state={}, _loop=loop)
        self.protocol._lessons = lessons
        self.protocol.connection_made(self.wire)

    def send(self, *pieces):
        for piece in pieces:
            if not self.wire.closing:
                self.protocol.data_received(piece)
                self.clerk.answer()
                while self.protocol.tasks:
                    self.loop.run_until_complete(asyncio.wait(self.protocol.tasks))
        return self

    def end(self):
        self.protocol.connection_lost(None)
        return self.wire.events


@pytest.fixture(scope="module")
def loop():
    with asyncio.Runner() as runner:
        yield runner.get_loop()


def request(head, key=b"k-1", body=b'{"instances":[1]}', path=PATH):
    values = {b"%d": b"%d" % len(body), b"%b": key}
    text = HEADS[head].replace(b"%b", path, 1)
    for mark, value in values.items():
        text = text.replace(mark, value)
    return text + body


@pytest.fixture
def read_again(monkeypatch):
    """Which heads were taken for repeated ones."""
    taken, read = [], Head.read

    def note(self, data):
        known = read(self, data)
        taken.append(known is not None)
        return known

    monkeypatch.setattr(Head, "read", note)
    return taken


@pytest.mark.parametrize("head", range(len(HEADS)))
def test_a_head_is_parsed_once(loop, head, read_again):
    bodies = [b"[]", b"x" * 1234, b""]
    talk = Talk(loop, LESSONS).send(*[request(head, b"key-%d" % len(body), body) for body in bodies])
    assert read_again == [True, True]
    calls = [event for event in talk.end() if event[0] == "call"]
    assert [call[-1] for call in calls] == bodies
    if head:
        assert [call[4]["idempotency-key"] for call in calls] == ["key-2", "key-1234", "key-0"]


@pytest.mark.parametrize(
    "other",
    [
        request(0).replace(b"pp_live_1", b"pp_live_2"),
        request(0).replace(b"host: x\r\n", b""),
        request(0).replace(b"sentiment", b"another"),
        request(0)[:-1],
        request(0) + request(0),
        request(0) + b"G",
        request(0).replace(b"content-length: 17", b"content-length: 1e1"),
        request(0).replace(b"content-length: 17", b"content-length: +17"),
        request(0).replace(b"content-length: 17", b"content-length: 17\r\ncontent-length: 17"),
        request(0).replace(b"content-length: 17", b"content-length: 17\r\ntransfer-encoding: chunked"),
        request(0).replace(b"\r\n\r\n", b"\r\n \r\n"),
        request(0).replace(b"\r\n", b"\n"),
        request(1, b"k\r\nx-api-key: other"),
        request(1, b"k\nfolded"),
        request(1, b"k k"),
        request(1, b"k "),
        request(1, b""),
        request(1, "schlüssel".encode("latin-1")),
        request(1, b"k" * 300),
    ],
)
def test_any_other_head_is_the_parsers(loop, other, read_again):
    heads = (request(0), request(1))
    assert (
        Talk(loop, LESSONS).send(*heads, other, *heads).end()
        == Talk(loop, 0).send(*heads, other, *heads).end()
    )
    assert read_again[1] is False


@pytest.mark.parametrize(
    "unusable",
    [
        b"POST %b HTTP/1.0\r\ncontent-length: 2\r\n\r\n[]" % PATH,
        b"POST %b HTTP/1.1\r\nconnection: close\r\ncontent-length: 2\r\n\r\n[]" % PATH,
        b"POST %b HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n[]" % PATH,
        b"POST %b HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n\r\n" % PATH,
        b"POST %b HTTP/1.1\r\nx-api-key: a\r\nx-api-key: b\r\ncontent-length: 2\r\n\r\n[]" % PATH,
        b"POST %b HTTP/1.1\r\nx-long: %b\r\ncontent-length: 2\r\n\r\n[]" % (PATH, b"x" * MAX_HEAD),
        b"GET /v2/models/sentiment HTTP/1.1\r\n\r\n",
    ],
)
def test_what_ends_otherwise_is_not_kept(loop, unusable):
    talk = Talk(loop, LESSONS).send(unusable)
    assert talk.protocol._head is None
    talk.end()


def test_a_client_that_never_repeats_itself_is_left_to_the_parser(loop, read_again):
    requests = [request(0).replace(b"host: x", b"host: x%d" % number) for number in range(20)]
    talk = Talk(loop, LESSONS).send(*requests)
    assert talk.protocol._lessons == 0
    assert len([event for event in talk.end() if event[0] == "call"]) == 20
    assert not any(read_again)


keys = st.one_of(st.from_regex(rb"[!-~]{1,20}", fullmatch=True), st.binary(max_size=12))
requests = st.builds(request, st.integers(0, len(HEADS) - 1), keys, st.binary(max_size=40))


@st.composite
def streams(draw):
    """Whole requests, some of them with a byte changed, cut or joined in places where nobody would."""
    pieces = [draw(requests) for _ in range(draw(st.integers(1, 3)))]
    pieces += [draw(st.sampled_from(pieces)) for _ in range(draw(st.integers(1, 6)))]
    if draw(st.booleans()):
        at = draw(st.integers(0, len(pieces) - 1))
        place = draw(st.integers(0, len(pieces[at])))
        pieces[at] = (
            pieces[at][:place] + draw(st.binary(max_size=3)) + pieces[at][place + draw(st.integers(0, 2)) :]
        )
    if draw(st.booleans()):
        at = draw(st.integers(0, len(pieces) - 1))
        place = draw(st.integers(0, len(pieces[at])))
        pieces[at : at + 1] = [pieces[at][:place], pieces[at][place:]]
    if draw(st.booleans()):
        at = draw(st.integers(0, len(pieces) - 1))
        pieces[at : at + 2] = [b"".join(pieces[at : at + 2])]
    return [piece for piece in pieces if piece]


@settings(max_examples=400, deadline=None)
@given(pieces=streams())
def test_whatever_is_sent_means_what_the_parser_says(loop, pieces):
    assert Talk(loop, LESSONS).send(*pieces).end() == Talk(loop, 0).send(*pieces).end()
