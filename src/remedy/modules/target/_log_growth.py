"""How fast logs grow: since they were made, and while one looks."""

import os
import time

_DAY = 86400.0
_YOUNG = 600  # seconds: what a younger file holds says little about a day


def growth(host, paths, sample):
    """Return {path: bytes a day}, the larger of the average and of what `sample` seconds show; None: not known."""
    if not paths:
        return {}
    before = {path: _size(path) for path in paths}
    then = time.monotonic()
    births = _births(host, paths)
    if sample:
        time.sleep(max(0.0, sample - (time.monotonic() - then)))
    seconds = time.monotonic() - then
    found = {}
    for path in paths:
        size, rates = _size(path), []
        if size is None:
            continue
        age = time.time() - births[path] if births.get(path) else None
        if age is not None and age >= _YOUNG:
            rates.append(size / age)
        if sample and before[path] is not None and size >= before[path]:
            rates.append((size - before[path]) / seconds)
        found[path] = int(max(rates) * _DAY) if rates else None
    return found


def _births(host, paths):
    """Return {path: when the file was made}; not all file systems know."""
    done = host.run(["stat", "--format=%W", "--"] + list(paths), ok=None, timeout=20, c_locale=True)
    lines = done.stdout.split()
    if done.rc or len(lines) != len(paths):
        return {}
    return {path: int(lines[at]) for at, path in enumerate(paths) if lines[at].isdigit()}


def _size(path):
    try:
        return os.stat(path).st_size
    except OSError:
        return None
