"""Talking to a running QEMU: its machine protocol on a socket (docs/interop/qmp-spec of QEMU)."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from remedy.lab.errors import LabError

SOCKET = "qmp"
"""The socket's name in a guest's folder, which is QEMU's own working directory."""

_SECONDS = 15.0


def execute(folder: Path, name: str, command: str, **arguments: Any) -> Any:
    """Let the QEMU of a guest execute one command and return its answer; an error is a LabError."""
    try:
        with _connected(folder) as link, link.makefile("rwb") as stream:
            greeting = json.loads(stream.readline() or b"{}")
            if "QMP" not in greeting:
                raise LabError(f"QEMU greets with {greeting}", host=name)
            _ask(stream, name, "qmp_capabilities", {})
            return _ask(stream, name, command, arguments)
    except (OSError, ValueError) as error:
        raise LabError(
            f"QEMU does not answer {command}: {error}", host=name, hint="remedy lab status says whether it runs"
        ) from error


@contextmanager
def _connected(folder: Path) -> Iterator[socket.socket]:
    # By the folder's descriptor: a socket's path may have 107 bytes, and the lab's folder is the user's choice.
    directory = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
            link.settimeout(_SECONDS)
            link.connect(f"/proc/self/fd/{directory}/{SOCKET}")
            yield link
    finally:
        os.close(directory)


def _ask(stream: Any, name: str, command: str, arguments: Any) -> Any:
    stream.write(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
    stream.flush()
    while line := stream.readline():
        answer = json.loads(line)
        if "return" in answer:
            return answer["return"]
        if "error" in answer:
            raise LabError(f"QEMU refuses {command}: {answer['error'].get('desc', answer)}", host=name)
        # Anything else is an event, which nobody here waits for.
    if command == "quit":
        return {}
    raise LabError(f"QEMU ended while it executed {command}", host=name)
