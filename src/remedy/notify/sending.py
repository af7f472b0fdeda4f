"""Sending, through Apprise: each target on its own, in a bounded time; what goes wrong is said and never raised."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from remedy.notify.message import Message
from remedy.notify.targets import Target

SECONDS = 30.0
"""For all targets together: a run's end is not to wait for somebody's mail server."""

_TRIES = 2
_PAUSE = 2.0  # seconds between them


class _Said(logging.Handler):
    """Keeps what Apprise logs in one thread: why it could not send."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.thread = threading.get_ident()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self.thread and record.levelno >= logging.WARNING:
            self.lines.append(record.getMessage())


def send(
    message: Message,
    targets: Iterable[Target],
    say: Callable[[str], None],
    *,
    mask: Callable[[str], str],
    anyway: bool = False,
    seconds: float = SECONDS,
) -> int:
    """Tell those of the targets that want to know of such a message; return how many could not be told.

    `say` takes a line for each of these, `mask` hides their addresses in it. `anyway`: tell all.
    """
    wanted = [each for each in targets if anyway or each.kinds & message.kinds]
    results: dict[str, str | None] = {}
    threads = [
        threading.Thread(target=_deliver, args=(message, each, results, seconds), daemon=True)
        for each in wanted
    ]
    for thread in threads:
        thread.start()
    end = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    failed = 0
    for each in wanted:
        trouble = results.get(each.name, f"no answer within {seconds:g} s")
        if trouble is not None:
            failed += 1
            say(mask(f"'{each.name}' was not told: {trouble}"))
    return failed


def _deliver(message: Message, target: Target, results: dict[str, str | None], seconds: float) -> None:
    """Send to one target, a second time where it failed; never raises."""
    trouble = "nothing was tried"
    end = time.monotonic() + seconds
    for attempt in range(_TRIES):
        if attempt and time.monotonic() + _PAUSE > end:
            break
        time.sleep(_PAUSE if attempt else 0)
        try:
            trouble = _once(message, target) or ""
        except Exception as error:  # a plugin of Apprise's; a run's end must not be its fault
            trouble = f"{type(error).__name__}: {error}"
        if not trouble:
            results[target.name] = None
            return
    results[target.name] = trouble


def _once(message: Message, target: Target) -> str | None:
    """Send once; return why it did not go, None where it went."""
    import apprise

    asset = apprise.AppriseAsset(app_id="remedy", app_desc="remedy", async_mode=False)
    logger = logging.getLogger("apprise")
    said = _Said()
    logger.addHandler(said)
    logger.setLevel(logging.WARNING)
    logger.propagate = False
    try:
        plugin: Any = apprise.Apprise.instantiate(target.url, asset=asset)
        sent = plugin is not None and plugin.notify(
            body=message.text,
            title=message.title,
            notify_type=apprise.NotifyType(message.level),
            body_format=apprise.NotifyFormat.TEXT,
        )
    finally:
        logger.removeHandler(said)
    return None if sent else "; ".join(said.lines) or "the service did not take it"
