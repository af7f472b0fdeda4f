"""Frames: how the two halves of remedy talk over a pair of byte streams.

A frame is two unsigned 32-bit lengths (big endian), a JSON text and raw bytes. A message is a dict; every `bytes`
value in it, at any depth, travels in the raw part, so that content costs neither base64 nor escapes.
docs/protocol.md lists the messages.
"""

import json
import struct

HEADER = struct.Struct(">II")
LIMIT = 256 << 20  # a frame larger than this is noise on the line, not a message
_RAW = "\0raw"


def encode(message):
    """Return the frame of a message."""
    raw = []
    size = [0]

    def hoist(value):
        if not isinstance(value, (bytes, bytearray)):
            raise TypeError("%s cannot travel in a frame" % type(value).__name__)
        place = [size[0], len(value)]
        raw.append(bytes(value))
        size[0] += len(value)
        return {_RAW: place}

    text = json.dumps(message, default=hoist, separators=(",", ":")).encode("ascii")
    return b"".join([HEADER.pack(len(text), size[0]), text] + raw)


def decode(text, raw):
    """Return the message of a frame's two parts."""
    if not raw and _RAW_MARK not in text:
        return json.loads(text.decode("ascii"))

    def lower(found):
        place = found.get(_RAW)
        if place is None:
            return found
        return raw[place[0] : place[0] + place[1]]

    return json.loads(text.decode("ascii"), object_hook=lower)


_RAW_MARK = json.dumps(_RAW).strip('"').encode("ascii")


class Broken(Exception):
    """The bytes on the line are no frame, or the line ended inside one."""


def read(receive):
    """Read one message with `receive(n)`, which returns 1 to n bytes or b"" at the end; None at a clean end."""
    head = _exactly(receive, HEADER.size, True)
    if head is None:
        return None
    length, raw_length = HEADER.unpack(head)
    if length > LIMIT or raw_length > LIMIT:
        raise Broken("a frame of %d + %d bytes" % (length, raw_length))
    text = _exactly(receive, length, False)
    raw = _exactly(receive, raw_length, False)
    return decode(text, raw)


def _exactly(receive, count, may_end):
    parts = []
    missing = count
    while missing:
        part = receive(missing)
        if not part:
            if may_end and missing == count:
                return None
            raise Broken("the line ended %d bytes before the end of a frame" % missing)
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)
