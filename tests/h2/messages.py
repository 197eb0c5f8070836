"""RFC 9113 section 8: requests as HTTP sees them."""

from expect import alive, answered, stream_error
from registry import case
from wire import DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PROTOCOL_ERROR, Failed

# 8.1 Message framing


@case("8.1", "GET, HEAD and POST are answered")
def _(wire):
    wire.get(1)
    if answered(wire, 1) == 0:
        raise Failed("the answer to GET has no body, and other cases need one")
    wire.headers(3, wire.fields(method="HEAD"))
    if answered(wire, 3) != 0:
        raise Failed("the answer to HEAD has a body")
    wire.post(5)
    wire.data(5, b"test")
    answered(wire, 5)


@case("8.1", "POST with trailers is answered")
def _(wire):
    wire.post(1, ("trailer", "x-test"))
    wire.data(1, b"test", 0)
    wire.headers(1, [("x-test", "ok")])
    answered(wire, 1)


@case("8.1", "a second HEADERS without END_STREAM")
def _(wire):
    wire.post(1)
    wire.headers(1, [("x-test", "ok")], END_HEADERS)
    stream_error(wire, 1, PROTOCOL_ERROR)


# 8.1.1 Malformed messages


@case("8.1.1", "content-length longer than one DATA")
def _(wire):
    wire.post(1, ("content-length", "5"))
    wire.data(1, b"test")
    stream_error(wire, 1, PROTOCOL_ERROR)


@case("8.1.1", "content-length longer than several DATA")
def _(wire):
    wire.post(1, ("content-length", "9"))
    wire.data(1, b"test", 0)
    wire.data(1, b"test")
    stream_error(wire, 1, PROTOCOL_ERROR)


@case("8.1.1", "content-length shorter than the body")
def _(wire):
    wire.post(1, ("content-length", "1"))
    wire.data(1, b"test")
    stream_error(wire, 1, PROTOCOL_ERROR)


@case("8.1.1", "content-length without a body")
def _(wire):
    wire.headers(1, wire.fields(method="POST") + [("content-length", "4")])
    stream_error(wire, 1, PROTOCOL_ERROR)


@case("8.1.1", "two content-lengths that differ")
def _(wire):
    wire.post(1, ("content-length", "4"), ("content-length", "5"))
    wire.data(1, b"test")
    stream_error(wire, 1, PROTOCOL_ERROR)


@case("8.1.1", "a content-length that is no number")
def _(wire):
    wire.post(1, ("content-length", "+4"))
    wire.data(1, b"test")
    stream_error(wire, 1, PROTOCOL_ERROR)


# 8.2 Fields


@case("8.2", "a field name in upper case")
def _(wire):
    wire.headers(1, wire.fields() + [("X-TEST", "ok")])
    stream_error(wire, 1, PROTOCOL_ERROR)


def _unlawful(name, value, what):
    @case("8.2.1", what)
    def _(wire):
        wire.headers(1, wire.fields() + [(name, value)])
        stream_error(wire, 1, PROTOCOL_ERROR)


_unlawful("x-test", "a\r\nx-smuggled: 1", "a value with CR and LF")
_unlawful("x-test", "a\nb", "a value with LF")
_unlawful("x-test", "a\0b", "a value with NUL")
_unlawful("x\r\ny", "ok", "a name with CR and LF")
_unlawful("x test", "ok", "a name with a space")
_unlawful("x:test", "ok", "a name with a colon")
_unlawful("", "ok", "an empty name")


def _of_connection(name, value):
    @case("8.2.2", f"{name}: {value}")
    def _(wire):
        wire.headers(1, wire.fields() + [(name, value)])
        stream_error(wire, 1, PROTOCOL_ERROR)


_of_connection("connection", "keep-alive")
_of_connection("proxy-connection", "keep-alive")
_of_connection("keep-alive", "timeout=5")
_of_connection("transfer-encoding", "chunked")
_of_connection("upgrade", "websocket")
_of_connection("te", "trailers, deflate")
_of_connection("te", "gzip")


@case("8.2.2", "te: trailers is taken")
def _(wire):
    wire.headers(1, wire.fields() + [("te", "trailers")])
    answered(wire, 1)


@case("8.2.3", "a cookie in crumbs is taken")
def _(wire):
    wire.headers(1, wire.fields() + [("cookie", f"c{n}={n}") for n in range(200)])
    answered(wire, 1)


# 8.3 Control data


@case("8.3", "an unknown pseudo-header field")
def _(wire):
    wire.headers(1, wire.fields() + [(":test", "ok")])
    stream_error(wire, 1, PROTOCOL_ERROR)


@case("8.3", "a pseudo-header field of responses")
def _(wire):
    wire.headers(1, wire.fields() + [(":status", "200")])
    stream_error(wire, 1, PROTOCOL_ERROR)


@case("8.3", "a pseudo-header field as a trailer")
def _(wire):
    wire.post(1)
    wire.data(1, b"test", 0)
    wire.headers(1, [(":method", "GET")])
    stream_error(wire, 1, PROTOCOL_ERROR)


@case("8.3", "a pseudo-header field of responses as a trailer")
def _(wire):
    wire.post(1)
    wire.data(1, b"test", 0)
    wire.headers(1, [(":status", "200")])
    stream_error(wire, 1, PROTOCOL_ERROR)


@case("8.3", "a field of the connection as a trailer")
def _(wire):
    wire.post(1)
    wire.data(1, b"test", 0)
    wire.headers(1, [("transfer-encoding", "chunked")])
    stream_error(wire, 1, PROTOCOL_ERROR)


@case("8.3", "a pseudo-header field after a regular one")
def _(wire):
    fields = wire.fields()
    wire.headers(1, fields[:1] + [("x-test", "ok")] + fields[1:])
    stream_error(wire, 1, PROTOCOL_ERROR)


# 8.3.1 Request pseudo-header fields


@case("8.3.1", "an empty :path")
def _(wire):
    wire.get(1, path="")
    stream_error(wire, 1, PROTOCOL_ERROR)


def _without(name):
    @case("8.3.1", f"no :{name}")
    def _(wire):
        wire.get(1, **{name: None})
        stream_error(wire, 1, PROTOCOL_ERROR)


def _twice(name, value):
    @case("8.3.1", f":{name} twice")
    def _(wire):
        wire.headers(1, wire.fields() + [(f":{name}", value)])
        stream_error(wire, 1, PROTOCOL_ERROR)


for _name in ("method", "scheme", "path"):
    _without(_name)
_twice("method", "GET")
_twice("scheme", "https")
_twice("path", "/")
_twice("authority", "other.example")


def _refused(what, status, more=(), **changes):
    """A request that is well formed for h2, and refused by its status."""

    @case("8.3.1", what)
    def _(wire):
        wire.headers(1, wire.fields(**changes) + list(more))
        answered(wire, 1, status)
        alive(wire)


def _broken(what, **changes):
    @case("8.3.1", what)
    def _(wire):
        wire.get(1, **changes)
        found = wire.until(lambda one: one.stream == 1 or one.kind == GOAWAY, "an answer")
        if found.kind == HEADERS:
            status = dict(wire.decoder.decode(found.payload))[":status"]
            if status != "400":
                raise Failed(f"answered with {status}")
        elif found.kind == DATA or found.code != PROTOCOL_ERROR:
            raise Failed(f"not refused: {found}")


_refused(":authority and Host differ", "400", [("host", "other.example")])
_refused("two Host", "400", [("host", "a.example"), ("host", "a.example")], authority=None)
_refused("no :authority and no Host", "400", authority=None)
_broken(":path with a space", path="/a b")
_broken(":path with CR and LF", path="/ HTTP/1.1\r\nhost: evil\r\n\r\n")
_broken(":path with NUL", path="/a\0b")
_broken(":path without a slash", path="x")
_broken(":authority with a user", authority="user@localhost")
_broken(":authority with a space", authority="local host")
_broken(":authority with CR and LF", authority="localhost\r\nx: y")
_broken(":method with a space", method="GET /x")
_broken(":method with CR and LF", method="GET\r\nx: y")
_broken(":method that is empty", method="")
_broken(":scheme with a space", scheme="https x")


@case("8.3.1", "Host in place of :authority is taken")
def _(wire):
    wire.headers(1, wire.fields(authority=None) + [("host", wire.place.authority)])
    answered(wire, 1)


# 8.5 CONNECT, and RFC 8441


@case("8.5", "CONNECT is refused")
def _(wire):
    wire.headers(1, [(":method", "CONNECT"), (":authority", "a.example:443")], END_HEADERS)
    answered(wire, 1, "405")


@case("8.5", "CONNECT with :path")
def _(wire):
    fields = [(":method", "CONNECT"), (":authority", "a.example:443"), (":path", "/")]
    wire.headers(1, fields, END_HEADERS)
    stream_error(wire, 1, PROTOCOL_ERROR)


@case("8.5", "extended CONNECT that was not offered")
def _(wire):
    if wire.told.get(8) == 1:
        return
    wire.headers(1, wire.fields(method="CONNECT") + [(":protocol", "websocket")], END_HEADERS)
    stream_error(wire, 1, PROTOCOL_ERROR)


@case("8441 5", "extended CONNECT for a protocol that nobody knows")
def _(wire):
    if wire.told.get(8) != 1:
        return
    wire.headers(1, wire.fields(method="CONNECT") + [(":protocol", "no-such")], END_HEADERS)
    answered(wire, 1, "501")
    wire.get(3)
    answered(wire, 3)


@case("8441 4", "extended CONNECT without a path")
def _(wire):
    if wire.told.get(8) != 1:
        return
    fields = [one for one in wire.fields(method="CONNECT") if one[0] != ":path"]
    wire.headers(1, fields + [(":protocol", "websocket")], END_HEADERS)
    stream_error(wire, 1, PROTOCOL_ERROR)


@case("8441 4", ":protocol beside another method")
def _(wire):
    wire.headers(1, wire.fields() + [(":protocol", "websocket")], END_HEADERS | END_STREAM)
    stream_error(wire, 1, PROTOCOL_ERROR)


@case("8.5", "connections outlive malformed requests")
def _(wire):
    wire.headers(1, wire.fields() + [(":status", "200")], END_HEADERS | END_STREAM)
    wire.headers(3, wire.fields() + [("connection", "x")], END_HEADERS | END_STREAM)
    wire.get(5)
    answered(wire, 5)
    if any(one.kind == GOAWAY for one in wire.seen):
        raise Failed("a malformed request ended the connection")
