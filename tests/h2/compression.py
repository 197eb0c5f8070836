"""RFC 7541: field blocks as octets."""

from expect import acknowledged, answered, connection_error
from registry import case
from wire import COMPRESSION_ERROR, HEADER_TABLE_SIZE, SETTINGS, frame, settings

# `x-test` and `user-agent` as names and `test` and `h2spec` as values, in Huffman codes.
X_TEST = b"\x85\xf2\xb2\x4a\x84\xff"
USER_AGENT = b"\x87\xb5\x05\xb1\x61\xcc\x5a\x93"
VALUE = b"\x84\x9c\x48\xac\xa4"


def _taken(section, what, octets):
    @case(section, what)
    def _(wire):
        wire.headers(1, wire.fields(), extra=octets)
        answered(wire, 1)


def _refused(section, what, octets):
    @case(section, what)
    def _(wire):
        wire.headers(1, wire.fields(), extra=octets)
        connection_error(wire, COMPRESSION_ERROR)


for _name, _first in (("with indexing", b"\x40"), ("without", b"\0"), ("never indexed", b"\x10")):
    _taken("6.2", f"a literal {_name}, name and value plain", _first + b"\x06x-test\x06h2spec")
    _taken("6.2", f"a literal {_name}, name and value in Huffman codes", _first + X_TEST + VALUE)
    _taken("6.2", f"a literal {_name}, a known name", _first + b"\x0auser-agent\x06h2spec")
    _taken("6.2", f"a literal {_name}, a known name in Huffman codes", _first + USER_AGENT + VALUE)
_taken("6.2", "a literal with indexing, the name by index", b"\x7a\x06h2spec")
_taken("6.2", "a literal without, the name by index", b"\x0f\x2b\x06h2spec")
_taken("6.2", "a literal never indexed, the name by index", b"\x1f\x2b\x06h2spec")
_taken("6.1", "an indexed field", b"\xba")
_taken("2.3.2", "a field of the dynamic table", b"\x40\x06x-test\x02ok\xbe")


@case("6.3", "a size update at the beginning is taken")
def _(wire):
    wire.send(frame(1, 0x5, 1, b"\x20" + wire.block(wire.fields())))
    answered(wire, 1)


@case("4.2", "two size updates at the beginning are taken")
def _(wire):
    wire.send(frame(1, 0x5, 1, b"\x20\x3f\xe1\x1f" + wire.block(wire.fields())))
    answered(wire, 1)


@case("4.2", "the server's encoder keeps to a smaller table")
def _(wire):
    wire.send(frame(SETTINGS, 0, 0, settings((HEADER_TABLE_SIZE, 0))))
    acknowledged(wire)
    wire.decoder.max_allowed_table_size = 0
    for stream in (1, 3):
        wire.get(stream)
        answered(wire, stream)


_refused("2.3.3", "an indexed field beyond both tables", b"\xff\x80\x01")
_refused("2.3.3", "a literal whose name is beyond both tables", b"\x7f\xff\x01\x02ok")
_refused("4.2", "a size update at the end of a block", b"\x21")
_refused("5.1", "an integer without end", b"\xff" + b"\x80" * 16 + b"\x01")
_refused("5.1", "an integer over 2^32", b"\x7f\xff\xff\xff\xff\x7f\x02ok")
_refused("5.2", "a string longer than its block", b"\0\x06x-test\x7eshort")
_refused("5.2", "Huffman padding of more than 7 bits", b"\0" + X_TEST + b"\x84\x49\x50\x9f\xff")
_refused("5.2", "Huffman padding of zeros", b"\0" + X_TEST + b"\x83\x49\x50\x90")
_refused("5.2", "Huffman with EOS", b"\0" + X_TEST + b"\x87\xff\xff\xff\xfd\x25\x42\x7f")
_refused("6.1", "an indexed field with index 0", b"\x80")


@case("6.3", "a size update above SETTINGS_HEADER_TABLE_SIZE")
def _(wire):
    wire.send(frame(1, 0x5, 1, b"\x3f\xe1\xff\x03" + wire.block(wire.fields())))
    connection_error(wire, COMPRESSION_ERROR)
