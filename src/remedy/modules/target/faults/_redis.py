"""Just enough of Redis's protocol for faults: commands as texts, answers as Python's own."""

import socket

from remedy.agent.kinds import Failed, Param

LOGIN = (
    Param("port", "int", default=6379, help="The server's port on this host."),
    Param("password", secret=True, help="Its password (requirepass)."),
)
_SECONDS = 10.0


class Redis(object):
    """One connection to a server of this host."""

    def __init__(self, port, password=None):
        try:
            self._link = socket.create_connection(("127.0.0.1", port), _SECONDS)
        except OSError as error:
            raise Failed("no Redis answers on port %d: %s" % (port, error.strerror or error))
        self._link.settimeout(_SECONDS)
        self._input = self._link.makefile("rb")
        try:
            self.ask(*(["AUTH", password] if password else ["PING"]))
        except Failed:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def close(self):
        self._input.close()
        self._link.close()

    def ask(self, *words):
        """Return the answer; raise Failed with the server's words where it refuses."""
        answer = self.ask_all([words])[0]
        if isinstance(answer, Failed):
            raise answer
        return answer

    def ask_all(self, commands):
        """Return the answers to several commands; Failed in the place of one that was refused."""
        try:
            self._link.sendall(b"".join(_packed(words) for words in commands))
            return [self._answer() for _ in commands]
        except (OSError, ValueError) as error:
            raise Failed("Redis ended the conversation: %s" % error)

    def _answer(self):
        line = self._input.readline()
        if not line.endswith(b"\r\n"):
            raise ValueError("it hung up")
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            return Failed("Redis refuses: " + rest.decode("utf-8", "replace"))
        if kind == b"+":
            return rest.decode("utf-8", "replace")
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return (
                None
                if rest == b"-1"
                else self._input.read(int(rest) + 2)[:-2].decode("utf-8", "surrogateescape")
            )
        return None if rest == b"-1" else [self._answer() for _ in range(int(rest))]


def _packed(words):
    parts = [
        word if isinstance(word, bytes) else str(word).encode("utf-8", "surrogateescape") for word in words
    ]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
