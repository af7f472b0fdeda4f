"""How much something should grow, as a user writes it: a size, +size, +percent, or all that there is."""

import re

from remedy.agent.kinds import Failed

ALL = "all"
MIB = 1 << 20
_TEXT = re.compile(r"(\+?)(\d{1,18}(?:\.\d{1,9})?)\s*(?:(%)|([kmgtpe]?)(?:i?b)?)$", re.I | re.A)
HELP = "expected a size (20G), what to add (+5G, +20%), or all"


def wrong(text):
    """Return what is wrong with an amount, None where nothing is."""
    if str(text).strip().lower() == ALL:
        return None
    match = _TEXT.match(str(text).strip())
    if match is None or (match.group(3) and not match.group(1)):
        return "size '%s': %s" % (text, HELP)
    if float(match.group(2)) == 0:
        return "size '%s' is nothing: %s" % (text, HELP)
    return None


def target(text, base):
    """Return how many bytes are wanted of something that has `base` bytes now, None for all that there is."""
    text = str(text).strip()
    if text.lower() == ALL:
        return None
    trouble = wrong(text)
    if trouble:
        raise Failed(trouble)
    plus, number, percent, unit = _TEXT.match(text).groups()
    if percent:
        return base + int(base * float(number) / 100)
    power = 1024 ** " kmgtpe".index((unit or " ").lower())
    size = int(float(number) * power) if "." in number else int(number) * power
    return base + size if plus else size


def shown(size):
    """Return bytes as a person reads them; such that "1.0 GiB" is not told of less."""
    for power, unit in ((4, "TiB"), (3, "GiB"), (2, "MiB"), (1, "KiB")):
        if size >= 1024**power:
            return "%.1f %s" % (int(size * 10 / 1024**power) / 10.0, unit)
    return "%d bytes" % size


def up(size, unit):
    """Return the next multiple of a unit, upwards."""
    return -(-size // unit) * unit


def down(size, unit):
    """Return the next multiple of a unit, downwards."""
    return size // unit * unit
