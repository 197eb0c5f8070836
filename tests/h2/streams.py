"""RFC 9113 sections 3 to 5: the preface, framing, and the states of streams."""

from expect import acknowledged, alive, answered, closed, connection_error, headers_of, stream_error
from registry import case
from wire import (
    CANCEL,
    COMPRESSION_ERROR,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    FRAME_SIZE_ERROR,
    GOAWAY,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS,
    PING,
    PREFACE,
    PRIORITY,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    RST_STREAM,
    SETTINGS,
    STREAM_CLOSED,
    WINDOW_UPDATE,
    WITH_PRIORITY,
    ACK,
    Failed,
    frame,
    settings,
)

CANCELLED = CANCEL.to_bytes(4, "big")
LOWEST = b"\0\0\0\0\xff"


# 3.4 Connection preface


@case("3.4", "the server's first frame is SETTINGS", greet=False)
def _(wire):
    wire.send(PREFACE + frame(SETTINGS, 0, 0, settings((INITIAL_WINDOW_SIZE, 65535))))
    first = wire.next()
    if first is None or first.kind != SETTINGS or first.has(ACK):
        raise Failed(f"the first frame is {first}")


@case("3.4", "what is no preface ends the connection", greet=False)
def _(wire):
    wire.send(b"INVALID CONNECTION PREFACE\r\n\r\n")
    closed(wire)


@case("3.4", "a preface without SETTINGS ends the connection", greet=False)
def _(wire):
    wire.send(PREFACE + frame(PING, 0, 0, b"12345678"))
    connection_error(wire, PROTOCOL_ERROR)


# 4.1 Frame format


@case("4.1", "a frame of an unknown type is ignored")
def _(wire):
    wire.send(frame(0x16, 0, 0, b"12345678"))
    alive(wire)


@case("4.1", "undefined flags are ignored")
def _(wire):
    wire.send(frame(PING, 0x16, 0, b"abcdefgh"))
    wire.until(lambda one: one.kind == PING and one.has(ACK), "PING with ACK")


@case("4.1", "the reserved bit is ignored")
def _(wire):
    wire.send(frame(PING, 0, 0x80000000, b"abcdefgh"))
    wire.until(lambda one: one.kind == PING and one.has(ACK), "PING with ACK")


# 4.2 Frame size


@case("4.2", "DATA of 2^14 octets is taken")
def _(wire):
    wire.post(1)
    wire.data(1, b"x" * 16384)
    answered(wire, 1)


@case("4.2", "DATA over SETTINGS_MAX_FRAME_SIZE")
def _(wire):
    wire.post(1)
    wire.data(1, b"x" * 16385)
    stream_error(wire, 1, FRAME_SIZE_ERROR)


@case("4.2", "HEADERS over SETTINGS_MAX_FRAME_SIZE")
def _(wire):
    wire.headers(1, wire.fields() + [(f"x-{n}", "x" * 5000) for n in range(5)])
    connection_error(wire, FRAME_SIZE_ERROR)


# 4.3 Field section compression


@case("4.3", "a field block that does not decode")
def _(wire):
    wire.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x40"))
    connection_error(wire, COMPRESSION_ERROR)


@case("4.3", "PRIORITY inside a field block")
def _(wire):
    wire.headers(1, wire.fields(), 0)
    wire.send(frame(PRIORITY, 0, 1, LOWEST))
    connection_error(wire, PROTOCOL_ERROR)


@case("4.3", "HEADERS of another stream inside a field block")
def _(wire):
    wire.headers(1, wire.fields(), 0)
    wire.get(3)
    connection_error(wire, PROTOCOL_ERROR)


@case("4.3", "DATA inside a field block")
def _(wire):
    wire.headers(1, wire.fields(), 0)
    wire.data(1, b"x")
    connection_error(wire, PROTOCOL_ERROR)


# 5.1 Stream states


@case("5.1", "idle: DATA")
def _(wire):
    wire.data(1, b"test")
    connection_error(wire, PROTOCOL_ERROR)


@case("5.1", "idle: RST_STREAM")
def _(wire):
    wire.send(frame(RST_STREAM, 0, 1, CANCELLED))
    connection_error(wire, PROTOCOL_ERROR)


@case("5.1", "idle: WINDOW_UPDATE")
def _(wire):
    wire.send(frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\x64"))
    connection_error(wire, PROTOCOL_ERROR)


@case("5.1", "idle: CONTINUATION")
def _(wire):
    wire.send(frame(CONTINUATION, END_HEADERS, 1, wire.block(wire.fields())))
    connection_error(wire, PROTOCOL_ERROR)


@case("5.1", "idle: PRIORITY is taken")
def _(wire):
    wire.send(frame(PRIORITY, 0, 1, LOWEST))
    alive(wire)


@case("5.1", "half-closed (remote): DATA")
def _(wire):
    wire.get(1)
    wire.data(1, b"test")
    stream_error(wire, 1, STREAM_CLOSED)


@case("5.1", "half-closed (remote): HEADERS")
def _(wire):
    wire.get(1)
    wire.get(1)
    stream_error(wire, 1, STREAM_CLOSED)


@case("5.1", "half-closed (remote): CONTINUATION")
def _(wire):
    wire.get(1)
    wire.send(frame(CONTINUATION, END_HEADERS, 1, wire.block(wire.fields())))
    stream_error(wire, 1, STREAM_CLOSED, PROTOCOL_ERROR)


@case("5.1", "half-closed (remote): WINDOW_UPDATE is taken")
def _(wire):
    wire.send(frame(SETTINGS, 0, 0, settings((INITIAL_WINDOW_SIZE, 0))))
    acknowledged(wire)
    wire.get(1)
    wire.send(frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\x01"))
    wire.until(lambda one: one.kind == DATA, "DATA")


@case("5.1", "half-closed (remote): PRIORITY is taken")
def _(wire):
    wire.send(frame(SETTINGS, 0, 0, settings((INITIAL_WINDOW_SIZE, 0))))
    acknowledged(wire)
    wire.get(1)
    wire.send(frame(PRIORITY, 0, 1, LOWEST))
    wire.send(frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\x01"))
    wire.until(lambda one: one.kind == DATA, "DATA")


@case("5.1", "half-closed (remote): RST_STREAM is taken")
def _(wire):
    wire.get(1)
    wire.send(frame(RST_STREAM, 0, 1, CANCELLED))
    alive(wire)


@case("5.1", "closed by RST_STREAM: DATA")
def _(wire):
    wire.post(1)
    wire.send(frame(RST_STREAM, 0, 1, CANCELLED))
    wire.data(1, b"test")
    stream_error(wire, 1, STREAM_CLOSED)


@case("5.1", "closed by RST_STREAM: HEADERS")
def _(wire):
    wire.post(1)
    wire.send(frame(RST_STREAM, 0, 1, CANCELLED))
    wire.get(1)
    stream_error(wire, 1, STREAM_CLOSED)


@case("5.1", "closed by RST_STREAM: CONTINUATION")
def _(wire):
    wire.post(1)
    wire.send(frame(RST_STREAM, 0, 1, CANCELLED))
    wire.send(frame(CONTINUATION, END_HEADERS, 1, wire.block([("x-dummy", "x")])))
    stream_error(wire, 1, STREAM_CLOSED, PROTOCOL_ERROR)


@case("5.1", "closed by END_STREAM: DATA")
def _(wire):
    wire.get(1)
    answered(wire, 1)
    wire.data(1, b"test")
    connection_error(wire, STREAM_CLOSED)


@case("5.1", "closed by END_STREAM: HEADERS")
def _(wire):
    wire.get(1)
    answered(wire, 1)
    wire.get(1)
    connection_error(wire, STREAM_CLOSED)


@case("5.1", "closed by END_STREAM: CONTINUATION")
def _(wire):
    wire.get(1)
    answered(wire, 1)
    wire.send(frame(CONTINUATION, END_HEADERS, 1, wire.block([("x-dummy", "x")])))
    connection_error(wire, STREAM_CLOSED, PROTOCOL_ERROR)


@case("5.1", "closed: PRIORITY is taken")
def _(wire):
    wire.get(1)
    answered(wire, 1)
    wire.send(frame(PRIORITY, 0, 1, LOWEST))
    alive(wire)


@case("5.1", "closed: WINDOW_UPDATE and RST_STREAM that crossed the answer are taken")
def _(wire):
    wire.get(1)
    answered(wire, 1)
    wire.send(frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\x01"))
    wire.send(frame(RST_STREAM, 0, 1, CANCELLED))
    alive(wire)


# 5.1.1 Stream identifiers


@case("5.1.1", "an even identifier")
def _(wire):
    wire.get(2)
    connection_error(wire, PROTOCOL_ERROR)


@case("5.1.1", "an identifier below one that was used")
def _(wire):
    wire.get(5)
    wire.get(3)
    connection_error(wire, PROTOCOL_ERROR)


@case("5.1.1", "an identifier below, after the answer")
def _(wire):
    wire.get(5)
    answered(wire, 5)
    wire.get(3)
    connection_error(wire, PROTOCOL_ERROR)


@case("5.1.1", "HEADERS again on a half-closed stream")
def _(wire):
    wire.get(5)
    wire.get(5)
    stream_error(wire, 5, STREAM_CLOSED)


@case("5.1.1", "DATA on a stream that was skipped")
def _(wire):
    wire.get(5)
    answered(wire, 5)
    wire.data(3, b"test")
    connection_error(wire, PROTOCOL_ERROR, STREAM_CLOSED)


# 5.1.2 Stream concurrency


@case("5.1.2", "a stream more than SETTINGS_MAX_CONCURRENT_STREAMS")
def _(wire):
    most = wire.told[MAX_CONCURRENT_STREAMS]
    for number in range(most + 1):
        wire.post(2 * number + 1)
    found = wire.until(lambda one: one.kind in (GOAWAY, RST_STREAM), "RST_STREAM")
    if found.code not in (PROTOCOL_ERROR, REFUSED_STREAM):
        raise Failed(f"code {found.code}")
    if found.kind == RST_STREAM and found.stream != 2 * most + 1:
        raise Failed(f"stream {found.stream} was refused")


# 5.3.1 of RFC 7540: an endpoint may go on to treat it as an error


@case("5.3", "HEADERS that depend on themselves")
def _(wire):
    fields = b"\0\0\0\x01\xff" + wire.block(wire.fields())
    wire.send(frame(HEADERS, END_HEADERS | END_STREAM | WITH_PRIORITY, 1, fields))
    stream_error(wire, 1, PROTOCOL_ERROR)


@case("5.3", "PRIORITY that depends on itself")
def _(wire):
    wire.send(frame(PRIORITY, 0, 1, b"\0\0\0\x01\xff"))
    stream_error(wire, 1, PROTOCOL_ERROR)


@case("5.3", "HEADERS with a priority are taken")
def _(wire):
    fields = LOWEST + wire.block(wire.fields())
    wire.send(frame(HEADERS, END_HEADERS | END_STREAM | WITH_PRIORITY, 1, fields))
    answered(wire, 1)


# 5.4.1 Connection error handling


@case("5.4.1", "a connection error ends the connection, after a GOAWAY")
def _(wire):
    wire.send(frame(PING, 0, 3, b"\0" * 8))
    connection_error(wire, PROTOCOL_ERROR)


@case("5.4.1", "GOAWAY names the last stream that was taken")
def _(wire):
    wire.get(1)
    answered(wire, 1)
    wire.get(3)
    answered(wire, 3)
    wire.send(frame(PING, 0, 3, b"\0" * 8))
    found = wire.until(lambda one: one.kind == GOAWAY, "GOAWAY")
    if int.from_bytes(found.payload[:4], "big") != 3:
        raise Failed(f"GOAWAY names stream {found.payload[:4].hex()}")
    closed(wire)


# 5.5 Extending HTTP/2


@case("5.5", "an unknown frame of an unknown size is ignored, on streams too")
def _(wire):
    wire.post(1)
    wire.send(frame(0xFF, 0xFF, 1, b"x" * 100))
    wire.data(1, b"test")
    answered(wire, 1)


@case("5.5", "an unknown frame inside a field block")
def _(wire):
    wire.headers(1, wire.fields(), 0)
    wire.send(frame(0x16, 0, 0, b"12345678"))
    connection_error(wire, PROTOCOL_ERROR)


@case("5.5", "an unknown frame over SETTINGS_MAX_FRAME_SIZE")
def _(wire):
    wire.send(frame(0x16, 0, 0, b"x" * 16385))
    connection_error(wire, FRAME_SIZE_ERROR)


@case("5.5", "a response begins while the body is still sent")
def _(wire):
    wire.post(1)
    wire.data(1, b"x" * 1000, 0)
    wire.data(1, b"x")
    headers_of(wire, 1)
