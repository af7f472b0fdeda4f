"""Images for Docker made of the lab's root trees, layer by layer; no registry is asked for anything."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from remedy.lab.errors import LabError
from remedy.lab.lab import default_root
from remedy.lab.layers import LayerCache
from remedy.lab.roles import Role
from remedy.lab.tools import Say, quiet, run

_SECONDS = 600.0
_ANSWER = 30.0
_HINT = "Docker has to run, here or where DOCKER_HOST says: docker info"
_LABEL = "remedy.layers"
# A stop that systemd understands, and a mark by which it knows that it is in a container.
_CONFIG = {"Env": ["container=docker"], "Cmd": ["/usr/local/sbin/container-init"], "StopSignal": "SIGRTMIN+3"}


def load_images(images: Mapping[str, Role], say: Say = quiet) -> list[str]:
    """Make the images (name → trees) that Docker does not have, or has of other trees; return their names.

    It is the Docker that the environment names (DOCKER_HOST). Raises LabError where that does not answer.
    """
    run(["docker", "version", "--format", "{{.Server.Version}}"], timeout=_ANSWER, hint=_HINT)
    missing = {name: role for name, role in images.items() if _loaded(name) != _label(role)}
    if missing:
        cache = LayerCache(default_root() / "layers", say)
        trees = {name: cache.trees(role) for name, role in missing.items()}
        with tempfile.TemporaryDirectory(prefix=".image-", dir=cache.folder) as work:
            say(f"loading {', '.join(missing)} into Docker")
            _write(Path(work), trees)
            _load(Path(work))
    return list(missing)


def _loaded(name: str) -> str:
    """Return the trees that an image was made of; nothing where there is no such image."""
    template = f'{{{{index .Config.Labels "{_LABEL}"}}}}'
    # 1: there is no such image.
    return run(["docker", "image", "inspect", "--format", template, name], ok=(0, 1), timeout=_ANSWER).strip()


def _write(work: Path, images: Mapping[str, Sequence[Path]]) -> None:
    """Write the folder that `docker load` reads as an archive (Docker image specification 1.2)."""
    layers = list(dict.fromkeys(tree for trees in images.values() for tree in trees))
    digests = {tree: _pack(tree, work / f"{tree.name}.tar") for tree in layers}
    manifest = []
    for name, trees in images.items():
        config = {
            "architecture": _architecture(),
            "os": "linux",
            "config": {**_CONFIG, "Labels": {_LABEL: " ".join(tree.name for tree in trees)}},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digests[tree]}" for tree in trees]},
        }
        text = json.dumps(config, sort_keys=True)
        file = f"{hashlib.sha256(text.encode()).hexdigest()}.json"
        (work / file).write_text(text)
        manifest.append(
            {"Config": file, "RepoTags": [name], "Layers": [f"{tree.name}.tar" for tree in trees]}
        )
    (work / "manifest.json").write_text(json.dumps(manifest))


def _label(role: Role) -> str:
    return " ".join(role.folders())


def _pack(tree: Path, archive: Path) -> str:
    """Write a tree as one layer and return its digest; file capabilities travel with it."""
    # Sorted and without access times, so that the same tree is the same layer.
    look = ["--sort=name", "--numeric-owner", "--xattrs", "--xattrs-include=security.capability"]
    run(["tar", *look, "-C", str(tree), "-cf", str(archive), "."], timeout=_SECONDS)
    with archive.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _load(folder: Path) -> None:
    """Hand the folder to Docker as one archive, without a second copy of it on the disk."""
    tar = subprocess.Popen(["tar", "-C", str(folder), "-cf", "-", "."], stdout=subprocess.PIPE)
    try:
        done = subprocess.run(
            ["docker", "load", "--quiet"],
            stdin=tar.stdout,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise LabError(f"docker load did not end within {_SECONDS:g} s") from error
    finally:
        tar.kill()
        tar.wait(timeout=10)
        if tar.stdout is not None:
            tar.stdout.close()
    if done.returncode:
        raise LabError(f"docker load failed: {done.stderr.strip()}", hint="docker info; docker system df")


def _architecture() -> str:
    """Return this machine's architecture by Docker's name."""
    machine = os.uname().machine
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine)
