"""Folders opened so that nobody can swap them for others on the way."""

import os


def opened(path):
    """Open a folder step by step, no step through a link: a parent that was swapped is noticed (OSError)."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    folder = os.open("/", flags)
    for name in [part for part in path.split("/") if part]:
        try:
            inner = os.open(name, flags, dir_fd=folder)
        finally:
            os.close(folder)
        folder = inner
    return folder
