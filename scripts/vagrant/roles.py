"""Write scripts/vagrant/ROLE.sh, by which Vagrant's virtual machines become what the lab's hosts are."""

from __future__ import annotations

from pathlib import Path

from remedy.lab.vagrant import HOST_ROLES, script

FOLDER = Path(__file__).resolve().parent


def main() -> None:
    """Write the script of every role."""
    for name in HOST_ROLES:
        path = FOLDER / f"{name}.sh"
        path.write_text(script(name), encoding="utf-8")
        path.chmod(0o755)


if __name__ == "__main__":
    main()
