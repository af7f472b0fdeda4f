"""What must never be shown: secret values, and the mask that hides them in every output."""

from __future__ import annotations

import re
import threading
from typing import Any

MASK = "********"
_SHORTEST = 4  # masking "a" or "42" would blacken every output and betray the value by its gaps


class Secrets:
    """The secret texts of one run; `mask` hides them wherever they turn up, also inside longer texts."""

    def __init__(self) -> None:
        self._texts: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self._guard = threading.Lock()

    def add(self, value: Any) -> None:
        """Remember a secret; each line of a text of several lines counts too."""
        if isinstance(value, dict):
            for item in value.values():
                self.add(item)
        elif isinstance(value, list | tuple):
            for item in value:
                self.add(item)
        elif value is not None and not isinstance(value, bool):
            text = str(value)
            found = {part for part in (text, *text.splitlines()) if len(part.strip()) >= _SHORTEST}
            if found - self._texts:
                with self._guard:
                    self._texts |= found
                    longest_first = sorted(self._texts, key=len, reverse=True)
                    self._pattern = re.compile("|".join(map(re.escape, longest_first)))

    def mask(self, value: Any) -> Any:
        """Return the value with every secret in its texts, keys included, replaced by MASK."""
        pattern = self._pattern
        if pattern is None:
            return value
        if isinstance(value, str):
            return pattern.sub(MASK, value)
        if isinstance(value, dict):
            return {self.mask(key): self.mask(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.mask(item) for item in value]
        return value

    def __bool__(self) -> bool:
        """Say whether there is anything to hide."""
        return self._pattern is not None

    def __repr__(self) -> str:
        return f"Secrets({len(self._texts)})"
