"""What a certificate says, read from its DER: whose it is, who signed it, and how long it holds.

The standard library reads the fields of a certificate only where it has checked it, and here nothing is to be
checked: one that has expired is what is looked for. So the few fields are read by RFC 5280. Keys are no part of
it.
"""

import base64
import binascii
import calendar
import hashlib
import re
import socket

_BEGIN = re.compile(rb"-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----\s*$")
_END = b"-----END "
_LONGEST = 64 << 10  # bytes of one certificate

_SEQUENCE, _UTC, _GENERALIZED = 0x30, 0x17, 0x18
_VERSION, _EXTENSIONS = 0xA0, 0xA3
_COMMON, _ORGANIZATION, _UNIT = b"\x55\x04\x03", b"\x55\x04\x0a", b"\x55\x04\x0b"
_ALTERNATIVE = b"\x55\x1d\x11"
_TIMES = {
    _UTC: re.compile(r"(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)?Z"),
    _GENERALIZED: re.compile(r"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)?Z"),
}


def blocks(lines):
    """Yield the DER of each certificate among the lines of a PEM file; all other lines are passed over."""
    held = None
    for line in lines:
        if _BEGIN.match(line):
            held = []
        elif held is not None and line.startswith(_END):
            try:
                yield base64.b64decode(b"".join(held))
            except binascii.Error:
                yield b""
            held = None
        elif held is not None:
            held.append(line.strip())
            if sum(map(len, held)) > _LONGEST:
                held = None  # no certificate is that long


def read(der):
    """Return {subject, issuer, names, not_before, not_after (seconds since the epoch), serial, sha256}.

    Raises ValueError where it is no certificate.
    """
    _, certificate, _ = _element(der, 0)
    _, fields, _ = _element(certificate, 0)
    parts = list(_parts(fields))
    if parts and parts[0][0] == _VERSION:
        parts.pop(0)
    if len(parts) < 6 or parts[3][0] != _SEQUENCE:
        raise ValueError("it is no certificate")
    serial, _, issuer, validity, subject = parts[:5]
    begins, ends = [_time(tag, content) for tag, content in _parts(validity[1])][:2]
    names = [content for tag, content in parts[6:] if tag == _EXTENSIONS]
    return {
        "subject": _name(subject[1]),
        "issuer": _name(issuer[1]),
        "names": _alternatives(names[0]) if names else [],
        "not_before": begins,
        "not_after": ends,
        "serial": binascii.hexlify(serial[1]).decode("ascii"),
        "sha256": hashlib.sha256(der).hexdigest(),
    }


def _element(data, at):
    """Return (tag, content, where the next one begins)."""
    if at + 2 > len(data):
        raise ValueError("it is cut off")
    tag, length, at = data[at], data[at + 1], at + 2
    if length & 0x80:
        count = length & 0x7F
        if not 1 <= count <= 4 or at + count > len(data):
            raise ValueError("it is no DER")
        length = int.from_bytes(data[at : at + count], "big")
        at += count
    if at + length > len(data):
        raise ValueError("it is cut off")
    return tag, data[at : at + length], at + length


def _parts(data):
    """Yield (tag, content) of what a constructed element holds."""
    at = 0
    while at < len(data):
        tag, content, at = _element(data, at)
        yield tag, content


def _time(tag, content):
    """Return a time in seconds since the epoch; two digits of a year mean 1950 to 2049 (RFC 5280)."""
    known = _TIMES[tag].match(content.decode("ascii", "replace")) if tag in _TIMES else None
    if known is None:
        raise ValueError("its time is none")
    year, month, day, hour, minute, second = (int(part or 0) for part in known.groups())
    if tag == _UTC:
        year += 2000 if year < 50 else 1900
    return calendar.timegm((year, month, day, hour, minute, second))


def _name(content):
    """Return a name as people know it: the common name, else the unit and the organization."""
    found = {}
    for _, group in _parts(content):
        for _, pair in _parts(group):
            pieces = list(_parts(pair))
            if len(pieces) == 2:
                found.setdefault(bytes(pieces[0][1]), _text(*pieces[1]))
    if _COMMON in found:
        return found[_COMMON]
    return ", ".join(found[each] for each in (_UNIT, _ORGANIZATION) if each in found)


def _text(tag, content):
    return content.decode({0x1E: "utf-16-be", 0x14: "latin-1"}.get(tag, "utf-8"), "replace")


def _alternatives(content):
    """Return the names and addresses that the certificate is for besides (subjectAltName)."""
    found = []
    for _, every in _parts(content):
        for _, extension in _parts(every):
            pieces = list(_parts(extension))
            if not pieces or bytes(pieces[0][1]) != _ALTERNATIVE:
                continue
            _, listed, _ = _element(pieces[-1][1], 0)
            for tag, name in _parts(listed):
                if tag == 0x82:
                    found.append(name.decode("ascii", "replace"))
                elif tag == 0x87 and len(name) in (4, 16):
                    found.append(
                        socket.inet_ntop(socket.AF_INET if len(name) == 4 else socket.AF_INET6, name)
                    )
    return found
