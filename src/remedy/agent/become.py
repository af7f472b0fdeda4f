"""What sudo, su and doas say before another identity's agent starts, and what it means."""

from remedy.agent import stage

_NOT_ALLOWED = (
    "not in the sudoers file",
    "is not allowed to",
    "may not run sudo",
    "Operation not permitted",
)


class Dialog(object):
    """One start as `identity` (a frame): the options it takes, when it asks for the password, why it ended.

    Nothing here ever shows the password.
    """

    def __init__(self, identity, prompt):
        self.method = identity.get("method") or "sudo"
        self.asked = False
        self._user = identity.get("user") or "root"
        self._given = identity.get("password")
        self._prompt = prompt.encode("ascii")
        self._terminal = b""
        self.options = []
        if self.method != "su":
            self.options = ["-n"]
            if self._given is not None:
                self.options = ["-S", "-p", prompt] if self.method == "sudo" else []

    @property
    def secret(self):
        """The line that answers the prompt (bytes)."""
        return str(self._given).encode("utf-8", "surrogateescape") + b"\n"

    def asked_on_terminal(self, said):
        """Return whether doas has asked for the password, which it does on its terminal, for the first time."""
        self._terminal = (self._terminal + said)[-4096:]
        if self.method != "doas" or self._given is None or self.asked or b"assword" not in self._terminal:
            return False
        self.asked = True
        return True

    def heard(self, noise, ended):
        """Return None while it goes on, else (reason, message); `asked` tells that the password is waited for.

        `noise` is all that came so far, `ended` that nothing more will come.
        """
        prompts = noise.count(self._prompt if self.method == "sudo" else b"assword:")
        if self.method != "doas" and prompts:
            if self._given is None:
                return self._missing()
            if prompts > 1:
                return self._wrong()
            self.asked = True
        return self._verdict(noise) if ended else None

    def _verdict(self, noise):
        text = noise.replace(self._prompt, b"").decode("utf-8", "replace").strip()
        if stage.NO_PYTHON in text:
            return "no_python", "no Python 3.6 or newer that %s may run" % self._user
        for words in _NOT_ALLOWED:
            if words in text:
                advice = "Allow it on the host, or set another ansible_become_user"
                return "not_in_sudoers", "%s to %s: %s %s" % (self.method, self._user, _last(text), advice)
        if self.asked:
            return self._wrong()
        if "password is required" in text or "uthentication" in text or "uthorization" in text:
            return self._missing()
        said = _last(text) or "it ended without a word"
        return "not_in_sudoers", "%s to %s failed: %s" % (self.method, self._user, said)

    def late(self, seconds):
        """Return (reason, message) for a start that took too long."""
        reason = "sudo_password" if self.asked else "not_in_sudoers"
        return reason, "%s to %s did not start within %d seconds" % (self.method, self._user, seconds)

    def _wrong(self):
        text = "the password for %s to %s is wrong; one attempt was made. Correct ansible_become_password"
        return "sudo_password", text % (self.method, self._user)

    def _missing(self):
        text = "the password for %s to %s is missing. Set ansible_become_password, or ask for it with -K"
        return "sudo_password", text % (self.method, self._user)


def _last(text):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " ".join(lines[-3:])[-500:]
