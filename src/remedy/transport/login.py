"""Logging in: which keys and passwords are offered to a server, in OpenSSH's order, and what was tried."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

from remedy.errors import Unreachable
from remedy.transport.endpoint import Endpoint
from remedy.transport.hostkeys import Policy
from remedy.transport.keys import KeyFile, Keyring, UnusableKey, look
from remedy.transport.knownhosts import fingerprint

_AGENT_PATIENCE = 30  # seconds: an agent may ask its user to confirm


class Login:
    """An `auth_strategy` of Paramiko: agent keys the configuration names, other agent keys, files, password."""

    def __init__(self, endpoint: Endpoint, password: str | None, keyring: Keyring, policy: Policy) -> None:
        self._endpoint = endpoint
        self._password = password
        self._keyring = keyring
        self._policy = policy
        self._tried: list[str] = []
        self._skipped: list[str] = []
        self._accepted: list[str] = []

    def authenticate(self, transport: Any) -> None:
        """Log in, or raise Unreachable(authentication) with what was tried; EOFError where the link ended."""
        agent = self._agent() if "publickey" in self._endpoint.methods else None
        try:
            if self._with_keys(transport, agent) or self._with_password(transport):
                return
        finally:
            if agent is not None:
                agent._close()
        raise self._refused()

    def _with_keys(self, transport: Any, agent: Any) -> bool:
        import paramiko

        if "publickey" not in self._endpoint.methods:
            return False
        for what, key in self._offers(agent):
            try:
                further = transport.auth_publickey(self._endpoint.user, key)
            except paramiko.BadAuthenticationType as error:
                self._accepted = list(error.allowed_types)
                return False
            except paramiko.AuthenticationException as error:
                self._tried.append(what)
                self._still_there(transport, error)
                continue
            except (paramiko.SSHException, ValueError) as error:  # an agent that refuses to sign
                self._skipped.append(f"{what}: {error}")
                self._still_there(transport, error)
                continue
            if not further:
                return True
            self._accepted = list(further)
            self._tried.append(f"{what} (accepted, but the server wants more)")
            return False
        return False

    def _with_password(self, transport: Any) -> bool:
        import paramiko

        if self._password is None or not self._endpoint.methods & {"password", "keyboard-interactive"}:
            return False
        if not self._policy.passwords:
            self._skipped.append("the password was not sent: the host key has changed")
            return False
        try:
            return not transport.auth_password(self._endpoint.user, self._password)
        except paramiko.BadAuthenticationType as error:
            self._accepted = list(error.allowed_types)
            self._skipped.append("the server takes no passwords")
        except paramiko.AuthenticationException as error:
            self._tried.append("password")
            self._still_there(transport, error)
        return False

    def _offers(self, agent: Any) -> Iterator[tuple[str, Any]]:
        files = list(self._files())
        held = {key.asbytes(): key for key in agent.get_keys()} if agent is not None else {}
        named = [file.public for file in files if file.public in held]
        others = [] if self._endpoint.identities_only else [blob for blob in held if blob not in named]
        for blob in [*named, *others]:
            if blob is not None:
                comment = getattr(held[blob], "comment", "") or held[blob].get_name()
                yield f"agent key {comment} ({fingerprint(blob)})", held[blob]
        for file in files:
            if file.public in held:
                continue
            try:
                key = self._keyring.load(file, self._password)
            except UnusableKey as error:
                self._skipped.append(str(error))
            else:
                yield f"key {file.path} ({fingerprint(key.asbytes())})", key

    def _files(self) -> Iterator[KeyFile]:
        for path in self._endpoint.identity_files:
            try:
                file = look(path)
            except UnusableKey as error:
                self._skipped.append(str(error))
            else:
                if file is not None:
                    yield file

    def _agent(self) -> Any:
        """Return a connection to the SSH agent, None without one; a stale socket is worth a word, no more."""
        path = self._endpoint.agent
        if path is None:
            return None
        from paramiko.agent import AgentSSH

        agent: Any = AgentSSH()
        line = socket.socket(socket.AF_UNIX)
        line.settimeout(_AGENT_PATIENCE)
        try:
            line.connect(path)
            agent._connect(line)
        except Exception as error:  # Paramiko raises SSHException for an agent that answers nonsense
            line.close()
            self._skipped.append(f"the agent at {path} does not answer: {error}")
            return None
        return agent

    def _still_there(self, transport: Any, error: Exception) -> None:
        """Go on with the next key only where the server still listens."""
        if transport.is_active():
            return
        if len(self._tried) <= 1 and isinstance(transport.get_exception() or error, EOFError | OSError):
            raise EOFError from error
        raise self._refused("the server hung up: it allows no more attempts (MaxAuthTries)")

    def _refused(self, end: str = "") -> Unreachable:
        endpoint = self._endpoint
        who = f"{endpoint.user} at {endpoint.address}"
        if self._tried:
            message = f"{who} was refused; tried: {', '.join(self._tried)}"
        else:
            message = f"nothing could be offered to log in as {who}"
            if not endpoint.agent and not self._skipped:
                message += ": no SSH agent (SSH_AUTH_SOCK), no key file"
        if self._skipped:
            message += f"; not tried: {'; '.join(self._skipped)}"
        if self._accepted:
            message += f"; the server takes: {', '.join(self._accepted)}"
        if end:
            message += f"; {end}"
        if not self._tried and not self._skipped:
            looked = ", ".join(endpoint.identity_files) or "none"
            hint = (
                f"looked for: {looked}; set ansible_ssh_private_key_file, load a key with ssh-add, or use -k"
            )
        else:
            hint = (
                f"is it the right user? put the public key into ~{endpoint.user}/.ssh/authorized_keys there"
            )
        return Unreachable("authentication", message, hint=hint, host=endpoint.name)
