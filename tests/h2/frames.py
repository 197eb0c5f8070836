"""RFC 9113 sections 6 and 7: each type of frame, and error codes."""

from expect import (
    acknowledged,
    alive,
    answered,
    closed,
    connection_error,
    data_of,
    stream_error,
)
from registry import case
from wire import (
    ACK,
    CANCEL,
    CONTINUATION,
    DATA,
    ENABLE_PUSH,
    END_HEADERS,
    END_STREAM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    GOAWAY,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    MAX_FRAME_SIZE,
    NO_ERROR,
    PADDED,
    PING,
    PRIORITY,
    PROTOCOL_ERROR,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    STREAM_CLOSED,
    WINDOW_UPDATE,
    WITH_PRIORITY,
    Failed,
    frame,
    settings,
)

LARGEST = b"\x7f\xff\xff\xff"
LOWEST = b"\0\0\0\0\xff"


# 6.1 DATA


@case("6.1", "DATA is taken")
def _(wire):
    wire.post(1)
    wire.data(1, b"test")
    answered(wire, 1)


@case("6.1", "several DATA are taken")
def _(wire):
    wire.post(1)
    wire.data(1, b"test", 0)
    wire.data(1, b"test")
    answered(wire, 1)


@case("6.1", "DATA with padding is taken")
def _(wire):
    wire.post(1)
    wire.data(1, b"\x06test" + b"\0" * 6, END_STREAM | PADDED)
    answered(wire, 1)


@case("6.1", "DATA that is all padding is taken")
def _(wire):
    wire.post(1)
    wire.data(1, b"\x04" + b"\0" * 4, END_STREAM | PADDED)
    answered(wire, 1)


@case("6.1", "DATA on stream 0")
def _(wire):
    wire.data(0, b"test")
    connection_error(wire, PROTOCOL_ERROR)


@case("6.1", "DATA on a stream that is not open")
def _(wire):
    wire.get(1)
    wire.data(1, b"test")
    stream_error(wire, 1, STREAM_CLOSED)


@case("6.1", "DATA with more padding than payload")
def _(wire):
    wire.post(1)
    wire.data(1, b"\x06test", END_STREAM | PADDED)
    connection_error(wire, PROTOCOL_ERROR)


@case("6.1", "DATA with padding but no room for its length")
def _(wire):
    wire.post(1)
    wire.data(1, b"", END_STREAM | PADDED)
    connection_error(wire, PROTOCOL_ERROR, FRAME_SIZE_ERROR)


# 6.2 HEADERS


@case("6.2", "HEADERS are taken")
def _(wire):
    wire.get(1)
    answered(wire, 1)


@case("6.2", "HEADERS with padding are taken")
def _(wire):
    block = wire.block(wire.fields())
    flags = END_STREAM | END_HEADERS | PADDED
    wire.send(frame(HEADERS, flags, 1, b"\x06" + block + b"\0" * 6))
    answered(wire, 1)


@case("6.2", "HEADERS with a priority and padding are taken")
def _(wire):
    block = wire.block(wire.fields())
    flags = END_STREAM | END_HEADERS | PADDED | WITH_PRIORITY
    wire.send(frame(HEADERS, flags, 1, b"\x06" + LOWEST + block + b"\0" * 6))
    answered(wire, 1)


@case("6.2", "HEADERS without END_HEADERS, then PRIORITY")
def _(wire):
    wire.headers(1, wire.fields(), END_STREAM)
    wire.send(frame(PRIORITY, 0, 1, LOWEST))
    connection_error(wire, PROTOCOL_ERROR)


@case("6.2", "HEADERS without END_HEADERS, then HEADERS of another stream")
def _(wire):
    wire.headers(1, wire.fields(), END_STREAM)
    wire.get(3)
    connection_error(wire, PROTOCOL_ERROR)


@case("6.2", "HEADERS on stream 0")
def _(wire):
    wire.get(0)
    connection_error(wire, PROTOCOL_ERROR)


@case("6.2", "HEADERS with more padding than payload")
def _(wire):
    block = wire.block(wire.fields())
    padding = bytes([len(block) + 1])
    wire.send(frame(HEADERS, END_STREAM | END_HEADERS | PADDED, 1, padding + block))
    connection_error(wire, PROTOCOL_ERROR)


@case("6.2", "HEADERS too short for their priority")
def _(wire):
    wire.send(frame(HEADERS, END_STREAM | END_HEADERS | WITH_PRIORITY, 1, b"\0\0"))
    connection_error(wire, PROTOCOL_ERROR, FRAME_SIZE_ERROR)


# 6.3 PRIORITY


@case("6.3", "PRIORITY with weight 1, 256, exclusive, and on a stream to come is taken")
def _(wire):
    for payload in (b"\0\0\0\0\0", b"\0\0\0\0\xff", b"\x80\0\0\0\x10", b"\0\0\0\x63\x10"):
        wire.send(frame(PRIORITY, 0, 7, payload))
    alive(wire)
    wire.get(1)
    answered(wire, 1)


@case("6.3", "PRIORITY on stream 0")
def _(wire):
    wire.send(frame(PRIORITY, 0, 0, LOWEST))
    connection_error(wire, PROTOCOL_ERROR)


@case("6.3", "PRIORITY of other than 5 octets")
def _(wire):
    wire.post(1)
    wire.send(frame(PRIORITY, 0, 1, b"\x80\0\0\x01"))
    stream_error(wire, 1, FRAME_SIZE_ERROR)


# 6.4 RST_STREAM


@case("6.4", "RST_STREAM is taken")
def _(wire):
    wire.post(1)
    wire.send(frame(RST_STREAM, 0, 1, CANCEL.to_bytes(4, "big")))
    alive(wire)


@case("6.4", "RST_STREAM on stream 0")
def _(wire):
    wire.send(frame(RST_STREAM, 0, 0, CANCEL.to_bytes(4, "big")))
    connection_error(wire, PROTOCOL_ERROR)


@case("6.4", "RST_STREAM on an idle stream")
def _(wire):
    wire.send(frame(RST_STREAM, 0, 1, CANCEL.to_bytes(4, "big")))
    connection_error(wire, PROTOCOL_ERROR)


@case("6.4", "RST_STREAM of other than 4 octets")
def _(wire):
    wire.post(1)
    wire.send(frame(RST_STREAM, 0, 1, b"\0\0\0"))
    connection_error(wire, FRAME_SIZE_ERROR)


# 6.5 SETTINGS


@case("6.5", "SETTINGS are taken and acknowledged")
def _(wire):
    wire.send(frame(SETTINGS, 0, 0, settings((ENABLE_PUSH, 0))))
    acknowledged(wire)


@case("6.5", "SETTINGS with ACK and a payload")
def _(wire):
    wire.send(frame(SETTINGS, ACK, 0, b"\0"))
    connection_error(wire, FRAME_SIZE_ERROR)


@case("6.5", "SETTINGS on a stream")
def _(wire):
    wire.send(frame(SETTINGS, 0, 1, settings((3, 100))))
    connection_error(wire, PROTOCOL_ERROR)


@case("6.5", "SETTINGS of a length that is no multiple of 6")
def _(wire):
    wire.send(frame(SETTINGS, 0, 0, b"\0\x03\0"))
    connection_error(wire, FRAME_SIZE_ERROR)


@case("6.5.2", "SETTINGS_ENABLE_PUSH of 2")
def _(wire):
    wire.send(frame(SETTINGS, 0, 0, settings((ENABLE_PUSH, 2))))
    connection_error(wire, PROTOCOL_ERROR)


@case("6.5.2", "SETTINGS_INITIAL_WINDOW_SIZE above 2^31-1")
def _(wire):
    wire.send(frame(SETTINGS, 0, 0, settings((INITIAL_WINDOW_SIZE, 1 << 31))))
    connection_error(wire, FLOW_CONTROL_ERROR)


@case("6.5.2", "SETTINGS_MAX_FRAME_SIZE below 2^14")
def _(wire):
    wire.send(frame(SETTINGS, 0, 0, settings((MAX_FRAME_SIZE, 16383))))
    connection_error(wire, PROTOCOL_ERROR)


@case("6.5.2", "SETTINGS_MAX_FRAME_SIZE above 2^24-1")
def _(wire):
    wire.send(frame(SETTINGS, 0, 0, settings((MAX_FRAME_SIZE, 1 << 24))))
    connection_error(wire, PROTOCOL_ERROR)


@case("6.5.2", "an unknown setting is ignored")
def _(wire):
    wire.send(frame(SETTINGS, 0, 0, settings((0xFF, 1))))
    alive(wire)


@case("6.5.2", "SETTINGS_ENABLE_CONNECT_PROTOCOL of 2")
def _(wire):
    wire.send(frame(SETTINGS, 0, 0, settings((8, 2))))
    connection_error(wire, PROTOCOL_ERROR)


@case("6.5.3", "of one setting sent twice the last value counts")
def _(wire):
    sizes = settings((INITIAL_WINDOW_SIZE, 100), (INITIAL_WINDOW_SIZE, 1))
    wire.send(frame(SETTINGS, 0, 0, sizes))
    acknowledged(wire)
    wire.get(1)
    data_of(wire, 1, 1)


@case("6.5.3", "SETTINGS are acknowledged at once")
def _(wire):
    wire.send(frame(SETTINGS, 0, 0, settings((ENABLE_PUSH, 0))))
    acknowledged(wire)


# 6.6 PUSH_PROMISE and 8.4


@case("8.4", "PUSH_PROMISE from a client")
def _(wire):
    wire.post(1)
    promise = b"\0\0\0\x02" + wire.block(wire.fields())
    wire.send(frame(PUSH_PROMISE, END_HEADERS, 1, promise))
    connection_error(wire, PROTOCOL_ERROR)


# 6.7 PING


@case("6.7", "PING is answered with its payload")
def _(wire):
    alive(wire, b"h2-octet")


@case("6.7", "PING with ACK is not answered")
def _(wire):
    wire.send(frame(PING, ACK, 0, b"unasked!"))
    alive(wire, b"h2-octet")
    if any(one.kind == PING and one.payload == b"unasked!" for one in wire.seen):
        raise Failed("a PING with ACK was answered")


@case("6.7", "PING on a stream")
def _(wire):
    wire.send(frame(PING, 0, 1, b"\0" * 8))
    connection_error(wire, PROTOCOL_ERROR)


@case("6.7", "PING of other than 8 octets")
def _(wire):
    wire.send(frame(PING, 0, 0, b"\0" * 6))
    connection_error(wire, FRAME_SIZE_ERROR)


# 6.8 GOAWAY


@case("6.8", "GOAWAY ends an idle connection")
def _(wire):
    wire.send(frame(GOAWAY, 0, 0, b"\0" * 8 + b"bye"))
    closed(wire)


@case("6.8", "what was asked before GOAWAY is answered")
def _(wire):
    wire.get(1)
    wire.send(frame(GOAWAY, 0, 0, b"\0" * 8))
    answered(wire, 1)


@case("6.8", "GOAWAY on a stream")
def _(wire):
    wire.send(frame(GOAWAY, 0, 1, b"\0" * 8))
    connection_error(wire, PROTOCOL_ERROR)


@case("6.8", "GOAWAY too short for its fields")
def _(wire):
    wire.send(frame(GOAWAY, 0, 0, b"\0" * 7))
    connection_error(wire, FRAME_SIZE_ERROR)


# 6.9 WINDOW_UPDATE


@case("6.9", "WINDOW_UPDATE is taken, on the connection and on a stream")
def _(wire):
    wire.send(frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\x01"))
    wire.post(1)
    wire.send(frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\x01"))
    wire.data(1, b"test")
    answered(wire, 1)


@case("6.9", "WINDOW_UPDATE by 0 on the connection")
def _(wire):
    wire.send(frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\0"))
    connection_error(wire, PROTOCOL_ERROR)


@case("6.9", "WINDOW_UPDATE by 0 on a stream")
def _(wire):
    wire.post(1)
    wire.send(frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\0"))
    stream_error(wire, 1, PROTOCOL_ERROR)


@case("6.9", "WINDOW_UPDATE of other than 4 octets")
def _(wire):
    wire.send(frame(WINDOW_UPDATE, 0, 0, b"\0\0\x01"))
    connection_error(wire, FRAME_SIZE_ERROR)


@case("6.9.1", "DATA waits for the window of its stream")
def _(wire):
    wire.send(frame(SETTINGS, 0, 0, settings((INITIAL_WINDOW_SIZE, 1))))
    acknowledged(wire)
    wire.get(1)
    data_of(wire, 1, 1)


@case("6.9.1", "a window of the connection above 2^31-1")
def _(wire):
    for _time in range(2):
        wire.send(frame(WINDOW_UPDATE, 0, 0, LARGEST))
    connection_error(wire, FLOW_CONTROL_ERROR)


@case("6.9.1", "a window of a stream above 2^31-1")
def _(wire):
    wire.post(1)
    for _time in range(2):
        wire.send(frame(WINDOW_UPDATE, 0, 1, LARGEST))
    stream_error(wire, 1, FLOW_CONTROL_ERROR)


@case("6.9.2", "SETTINGS_INITIAL_WINDOW_SIZE changes the windows of open streams")
def _(wire):
    wire.send(frame(SETTINGS, 0, 0, settings((INITIAL_WINDOW_SIZE, 0))))
    acknowledged(wire)
    wire.get(1)
    wire.send(frame(SETTINGS, 0, 0, settings((INITIAL_WINDOW_SIZE, 1))))
    data_of(wire, 1, 1)


@case("6.9.2", "a window below zero is filled first")
def _(wire):
    wire.send(frame(SETTINGS, 0, 0, settings((INITIAL_WINDOW_SIZE, 3))))
    acknowledged(wire)
    wire.get(1)
    data_of(wire, 1, 3)
    wire.send(frame(SETTINGS, 0, 0, settings((INITIAL_WINDOW_SIZE, 2))))
    acknowledged(wire)
    wire.send(frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\x02"))
    data_of(wire, 1, 1)


@case("6.9.2", "SETTINGS_INITIAL_WINDOW_SIZE that overflows an open stream's window")
def _(wire):
    wire.post(1)
    wire.send(frame(WINDOW_UPDATE, 0, 1, b"\x7f\xff\0\0"))
    wire.send(frame(SETTINGS, 0, 0, settings((INITIAL_WINDOW_SIZE, 0x7FFFFFFF))))
    connection_error(wire, FLOW_CONTROL_ERROR)


@case("6.9.2", "DATA over the server's window")
def _(wire):
    wire.post(1)
    for _time in range(80):
        wire.data(1, b"x" * 16384, 0)
    # A server that reads as fast as we send never has a full window.
    wire.data(1, b"x")
    found = wire.until(lambda one: one.kind in (HEADERS, RST_STREAM, GOAWAY), "an answer")
    if found.kind != HEADERS and found.code not in (FLOW_CONTROL_ERROR, NO_ERROR):
        raise Failed(f"code {found.code}")


# 6.10 CONTINUATION


@case("6.10", "CONTINUATION is taken")
def _(wire):
    wire.headers(1, wire.fields(), END_STREAM)
    wire.send(frame(CONTINUATION, END_HEADERS, 1, wire.block([("x-dummy", "x")])))
    answered(wire, 1)


@case("6.10", "several CONTINUATION are taken")
def _(wire):
    wire.headers(1, wire.fields(), END_STREAM)
    wire.send(frame(CONTINUATION, 0, 1, wire.block([("x-dummy-0", "x")])))
    wire.send(frame(CONTINUATION, END_HEADERS, 1, wire.block([("x-dummy-1", "x")])))
    answered(wire, 1)


@case("6.10", "a field block cut anywhere is taken")
def _(wire):
    block = wire.block(wire.fields() + [("x-dummy", "some value")])
    wire.send(frame(HEADERS, END_STREAM, 1, block[:1]))
    wire.send(frame(CONTINUATION, 0, 1, block[1:-3]))
    wire.send(frame(CONTINUATION, END_HEADERS, 1, block[-3:]))
    answered(wire, 1)


@case("6.10", "CONTINUATION, then another frame")
def _(wire):
    wire.headers(1, wire.fields(), END_STREAM)
    wire.send(frame(CONTINUATION, 0, 1, wire.block([("x-dummy", "x")])))
    wire.data(1, b"test")
    connection_error(wire, PROTOCOL_ERROR)


@case("6.10", "CONTINUATION on stream 0")
def _(wire):
    wire.headers(1, wire.fields(), END_STREAM)
    wire.send(frame(CONTINUATION, END_HEADERS, 0, wire.block([("x-dummy", "x")])))
    connection_error(wire, PROTOCOL_ERROR)


@case("6.10", "CONTINUATION of another stream")
def _(wire):
    wire.headers(1, wire.fields(), END_STREAM)
    wire.send(frame(CONTINUATION, END_HEADERS, 3, wire.block([("x-dummy", "x")])))
    connection_error(wire, PROTOCOL_ERROR)


@case("6.10", "CONTINUATION after HEADERS with END_HEADERS")
def _(wire):
    wire.post(1)
    wire.send(frame(CONTINUATION, END_HEADERS, 1, wire.block([("x-dummy", "x")])))
    connection_error(wire, PROTOCOL_ERROR)


@case("6.10", "CONTINUATION after CONTINUATION with END_HEADERS")
def _(wire):
    wire.headers(1, wire.fields(method="POST"), 0)
    for number in range(2):
        block = wire.block([(f"x-dummy-{number}", "x")])
        wire.send(frame(CONTINUATION, END_HEADERS, 1, block))
    connection_error(wire, PROTOCOL_ERROR)


@case("6.10", "CONTINUATION after DATA")
def _(wire):
    wire.post(1)
    wire.data(1, b"test", 0)
    wire.send(frame(CONTINUATION, END_HEADERS, 1, wire.block([("x-dummy", "x")])))
    connection_error(wire, PROTOCOL_ERROR)


# 7 Error codes


@case("7", "GOAWAY with an unknown code")
def _(wire):
    wire.send(frame(GOAWAY, 0, 0, b"\0\0\0\0\0\0\0\xff"))
    closed(wire)


@case("7", "RST_STREAM with an unknown code")
def _(wire):
    wire.post(1)
    wire.send(frame(RST_STREAM, 0, 1, b"\0\0\0\xff"))
    alive(wire)
