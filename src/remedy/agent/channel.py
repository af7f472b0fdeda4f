"""One end of a line of frames: non-blocking for the agent's loop, blocking for the worker."""

import os
import time

from remedy.agent import frames

_CHUNK = 1 << 18
_NOISE = 1 << 16


class Line(object):
    """Frames over a pair of descriptors that never block; the loop polls `inn`, and `out` while `waiting`.

    With a `nonce` (bytes) all that comes before it and a newline is kept as `noise`. `ended` says that the other
    side is gone; `heard` is when the last bytes came (time.monotonic()), `kept_since` when the first message was kept.
    """

    def __init__(self, inn, out, nonce=None):
        self.inn = inn
        self.out = out
        self.nonce = nonce
        self.noise = b""
        self.ended = False
        self.heard = time.monotonic()
        self.kept_since = None
        self._in = bytearray()
        self._out = []
        self._kept = []
        for descriptor in (inn, out):
            os.set_blocking(descriptor, False)

    @property
    def waiting(self):
        """How many bytes wait for the other side to read."""
        return 0 if self.ended else sum(len(data) for data in self._out)

    def push(self, message):
        """Send a message; it is kept back while the other side does not read."""
        self.push_bytes(frames.encode(message))

    def keep(self, message):
        """Send a message together with the next one, or when `release` is called: a packet costs more than a frame."""
        if self.kept_since is None:
            self.kept_since = time.monotonic()
        self._kept.append(frames.encode(message))

    def release(self):
        """Send what was kept."""
        if self._kept:
            self.push_bytes(b"")

    def push_bytes(self, data):
        """Send bytes that are no frame (the sources ahead of the first frame)."""
        if self._kept:
            data = b"".join(self._kept + [data])
            self._kept, self.kept_since = [], None
        self._out.append(memoryview(data))
        if len(self._out) == 1:
            self.flush()

    def flush(self):
        """Write what the other side takes now."""
        while self._out and not self.ended:
            try:
                written = os.write(self.out, self._out[0][:_CHUNK])
            except BlockingIOError:
                return
            except OSError:
                self.ended = True
                return
            self._out[0] = self._out[0][written:]
            if not self._out[0]:
                del self._out[0]

    def pull(self):
        """Return the messages that have arrived whole; raises frames.Broken for what is no frame."""
        try:
            data = os.read(self.inn, _CHUNK)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        if not data:
            self.ended = True
            return []
        self.heard = time.monotonic()
        self._in += data
        if self.nonce is not None and not self._past_noise():
            return []
        messages = []
        while len(self._in) >= frames.HEADER.size:
            length, raw = frames.HEADER.unpack_from(self._in)
            if length > frames.LIMIT or raw > frames.LIMIT:
                raise frames.Broken("a frame of %d + %d bytes" % (length, raw))
            start = frames.HEADER.size
            if len(self._in) < start + length + raw:
                break
            text = bytes(self._in[start : start + length])
            content = bytes(self._in[start + length : start + length + raw])
            del self._in[: start + length + raw]
            messages.append(frames.decode(text, content))
        return messages

    def _past_noise(self):
        before, found, rest = bytes(self._in).partition(self.nonce + b"\n")
        self.noise = before[-_NOISE:]
        if found:
            self._in = bytearray(rest)
            self.nonce = None
        return bool(found)

    def finish(self):
        """Close what is written to: the other side sees the end, and may still say something."""
        self._out = []
        if self.out is not None:
            os.close(self.out)
            self.out = None

    def close(self):
        """Close both descriptors."""
        self.ended = True
        self.finish()
        if self.inn is not None:
            os.close(self.inn)
            self.inn = None


class Pipe(object):
    """Frames over a pair of descriptors, one at a time, blocking: the worker's side."""

    def __init__(self, inn, out):
        self.inn = inn
        self.out = out

    def receive(self):
        """Return the next message, None when the other side is gone."""
        try:
            return frames.read(lambda count: os.read(self.inn, min(count, _CHUNK)))
        except frames.Broken:
            return None

    def ready(self):
        """Return whether a message, or the end, is there to be received."""
        from select import POLLIN, poll

        waiting = poll()
        waiting.register(self.inn, POLLIN)
        return bool(waiting.poll(0))

    def send(self, message):
        """Send a message; raises BrokenPipeError when the other side is gone."""
        left = memoryview(frames.encode(message))
        while left:
            left = left[os.write(self.out, left[:_CHUNK]) :]
