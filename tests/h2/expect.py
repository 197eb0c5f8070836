"""What has to come back, in the words of RFC 9113 section 5.4.

Stricter than the RFC in one thing: a connection error has to be said in a GOAWAY before the end, so
that a client can tell a fault of its own from a lost connection.
"""

from wire import ACK, DATA, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS, Failed, frame


def connection_error(wire, *codes):
    """GOAWAY with one of the codes, then the end of the connection."""
    found = wire.until(lambda one: one.kind == GOAWAY, f"GOAWAY {codes}")
    if found.code not in codes:
        raise Failed(f"GOAWAY has code {found.code}, not one of {codes}")
    closed(wire)


def stream_error(wire, stream, *codes):
    """RST_STREAM with one of the codes; or the connection ends for it, which the RFC allows."""
    found = wire.until(
        lambda one: one.kind == GOAWAY or (one.kind == RST_STREAM and one.stream == stream),
        f"RST_STREAM {codes}",
    )
    if found.code not in codes:
        raise Failed(f"frame {found.kind} has code {found.code}, not one of {codes}")


def closed(wire):
    """The end of the connection."""
    while wire.next() is not None:
        pass


def alive(wire, payload=b"12345678"):
    """The connection goes on: a PING is answered with its own payload."""
    wire.send(frame(PING, 0, 0, payload))
    found = wire.until(lambda one: one.kind in (PING, GOAWAY) , "PING with ACK")
    if found.kind != PING or not found.has(ACK) or found.payload != payload:
        raise Failed(f"not the answer to a PING: {found}")


def answered(wire, stream, status="200"):
    """A whole response with this status."""
    fields, length = wire.answer(stream)
    if fields.get(":status") != status:
        raise Failed(f"status is {fields.get(':status')}, not {status}")
    return length


def acknowledged(wire):
    """SETTINGS are acknowledged."""
    wire.until(lambda one: one.kind == SETTINGS and one.has(ACK), "SETTINGS with ACK")


def data_of(wire, stream, length):
    """The next DATA of a stream has this length."""
    found = wire.until(lambda one: one.kind == DATA and one.stream == stream, "DATA")
    if len(found.payload) != length:
        raise Failed(f"DATA has {len(found.payload)} bytes, not {length}")


def headers_of(wire, stream):
    """A response begins."""
    wire.until(lambda one: one.kind == HEADERS and one.stream == stream, "HEADERS")
