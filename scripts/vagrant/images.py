"""Make the images of the Vagrantfile's Docker hosts, and load them into the Docker that is used here."""

from __future__ import annotations

import sys

from remedy.errors import RemedyError
from remedy.lab.image import load_images
from remedy.lab.tools import require
from remedy.lab.vagrant import images


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def main() -> int:
    """Load the images that are missing or not up to date; return an exit code."""
    try:
        require(_say)
        loaded = load_images(images(), _say)
    except RemedyError as error:
        _say(str(error))
        return error.exit_code
    _say(f"loaded {', '.join(loaded)}" if loaded else "the images are up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main())
