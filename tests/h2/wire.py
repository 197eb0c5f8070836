"""An h2 client that sends whatever it is told, frame by frame, and says what came back.

Frames are built by hand and fields by the `hpack` package: nothing here shares code with the gateway.
"""

import socket
import ssl
import struct
import time
from dataclasses import dataclass

import hpack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = 0, 1, 2, 3, 4
PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 5, 6, 7, 8, 9

END_STREAM, ACK, END_HEADERS, PADDED, WITH_PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20

NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR = 0, 1, 2, 3
STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL = 5, 6, 7, 8
COMPRESSION_ERROR, ENHANCE_YOUR_CALM = 9, 11

HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS = 1, 2, 3
INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = 4, 5, 6


class Failed(Exception):
    """What came is not what has to come."""


@dataclass
class Place:
    """Where the server is, and how long it may take."""

    address: str
    port: int
    name: str
    authority: str
    ca: str | None
    patience: float


@dataclass
class Frame:
    """A frame as it came."""

    kind: int
    flags: int
    stream: int
    payload: bytes

    @property
    def code(self):
        """The error code of RST_STREAM and GOAWAY."""
        at = 4 if self.kind == GOAWAY else 0
        return struct.unpack_from(">I", self.payload, at)[0]

    def has(self, flag):
        return self.flags & flag != 0


def frame(kind, flags, stream, payload=b""):
    """The bytes of a frame, lawful or not."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def settings(*pairs):
    """The payload of SETTINGS."""
    return b"".join(struct.pack(">HI", number, value) for number, value in pairs)


class Wire:
    """One connection."""

    def __init__(self, place, greet=True):
        self.place = place
        context = ssl.create_default_context(cafile=place.ca)
        if place.ca is None:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        plain = socket.create_connection((place.address, place.port), timeout=place.patience)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.stream = context.wrap_socket(plain, server_hostname=place.name)
        if self.stream.selected_alpn_protocol() != "h2":
            raise Failed("the server does not speak h2")
        self.encoder = hpack.Encoder()
        self.decoder = hpack.Decoder()
        self.told = {}
        self.seen = []
        self._buffer = b""
        if greet:
            self.greet()

    def close(self):
        self.stream.close()

    def greet(self):
        """The client's preface; waits for the server's and for its acknowledgement."""
        self.send(PREFACE + frame(SETTINGS, 0, 0))
        greeting = self.until(lambda one: one.kind == SETTINGS and not one.has(ACK), "SETTINGS")
        for at in range(0, len(greeting.payload), 6):
            number, value = struct.unpack_from(">HI", greeting.payload, at)
            self.told[number] = value
        self.send(frame(SETTINGS, ACK, 0))
        self.until(lambda one: one.kind == SETTINGS and one.has(ACK), "SETTINGS with ACK")

    def send(self, octets):
        try:
            self.stream.sendall(octets)
        except OSError:
            # A server that has hung up is seen when the end is read.
            pass

    def fields(self, **changes):
        """The pseudo-header fields of a request; a change to None leaves one out."""
        fields = {"method": "GET", "scheme": "https", "path": "/", "authority": self.place.authority}
        fields.update(changes)
        return [(":" + name, value) for name, value in fields.items() if value is not None]

    def block(self, fields):
        """A field block. Nothing is put in order, lower case, or anything else."""
        return self.encoder.encode(fields)

    def headers(self, stream, fields, flags=END_HEADERS | END_STREAM, extra=b""):
        """HEADERS; `extra` follows the encoded fields."""
        self.send(frame(HEADERS, flags, stream, self.block(fields) + extra))

    def get(self, stream, **changes):
        self.headers(stream, self.fields(**changes))

    def post(self, stream, *more):
        """A POST whose body is still to come."""
        self.headers(stream, self.fields(method="POST") + list(more), END_HEADERS)

    def data(self, stream, octets, flags=END_STREAM):
        self.send(frame(DATA, flags, stream, octets))

    def next(self):
        """The next frame; None at the end of the connection."""
        head = self._take(9)
        if head is None:
            return None
        length = struct.unpack(">I", b"\0" + head[:3])[0]
        kind, flags, stream = struct.unpack(">BBI", head[3:])
        payload = self._take(length)
        if payload is None:
            raise Failed("the connection ended inside a frame")
        found = Frame(kind, flags, stream & 0x7FFFFFFF, payload)
        self.seen.append(found)
        return found

    def until(self, wanted, what):
        """The first frame that is wanted."""
        while True:
            found = self.next()
            if found is None:
                raise Failed(f"the connection was closed instead of {what}; saw {self.story()}")
            if wanted(found):
                return found

    def answer(self, stream):
        """The fields and the length of a whole response."""
        fields, length = None, 0
        while True:
            found = self.until(lambda one: one.stream == stream, f"a response on stream {stream}")
            if found.kind == RST_STREAM:
                raise Failed(f"stream {stream} was reset with code {found.code}")
            if found.kind == HEADERS:
                fields = fields or dict(self.decoder.decode(found.payload))
            if found.kind == DATA:
                length += len(found.payload)
            if found.kind in (HEADERS, DATA) and found.has(END_STREAM):
                return fields, length

    def story(self):
        """The last frames, for a message."""
        return [(one.kind, one.flags, one.stream, one.payload[:12].hex()) for one in self.seen[-6:]]

    def _take(self, count):
        deadline = time.monotonic() + self.place.patience
        while len(self._buffer) < count:
            self.stream.settimeout(max(deadline - time.monotonic(), 0.01))
            try:
                more = self.stream.recv(65536)
            except TimeoutError:
                raise Failed(f"nothing more came; saw {self.story()}") from None
            except OSError:
                more = b""
            if not more:
                return None if not self._buffer else self._short()
            self._buffer += more
        taken, self._buffer = self._buffer[:count], self._buffer[count:]
        return taken

    def _short(self):
        raise Failed("the connection ended inside a frame")
