"""Building root trees once and finding them again."""

from __future__ import annotations

import re
import shlex
import shutil
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

from remedy.lab.cgroups import Cgroup
from remedy.lab.errors import LabError
from remedy.lab.lock import locked, unless_locked
from remedy.lab.roles import SUITE, Foreign, Layer, Role
from remedy.lab.tools import APART, Say, quiet, run

_BUILD_SECONDS = 600
_ARCHIVES = "/var/cache/apt/archives"
_HINT = "packages come from this machine's Debian mirror: check that `apt-get update` works, then try again"


@dataclass(frozen=True, slots=True)
class LayerCache:
    """Root trees under one folder; a tree is there whole or not at all."""

    folder: Path
    say: Say = quiet

    def trees(self, role: Role) -> tuple[Path, ...]:
        """Return the trees of a role, the lowest first, building those that are missing."""
        paths = tuple(self.folder / key for key in role.folders())
        if all(path.is_dir() for path in paths):
            return paths
        self.folder.mkdir(parents=True, exist_ok=True)
        with locked(self.folder / "lock", self.say):
            self._remove_leftovers()
            for number, layer in enumerate(role.layers):
                if not paths[number].is_dir():
                    self._build(layer, paths[:number], paths[number])
        return paths

    def clean(self) -> None:
        """Remove what a killed build left, unless another build is at work."""
        if self.folder.is_dir():
            unless_locked(self.folder / "lock", self._remove_leftovers)

    def _remove_leftovers(self) -> None:
        self._builders.end()
        for leftover in self.folder.glob(".building-*"):
            shutil.rmtree(leftover)

    @property
    def _builders(self) -> Cgroup:
        """The processes of a build; each cache has its own."""
        return Cgroup(f"remedy-lab-build-{zlib.crc32(str(self.folder).encode()):08x}")

    def _build(self, layer: Layer, below: tuple[Path, ...], final: Path) -> None:
        started = time.monotonic()
        self.say(f"building the root tree '{layer.name}' (once; it is kept in {self.folder})")
        work = self.folder / f".building-{final.name}"
        tree = work / "tree"
        (self.folder / "packages" / "partial").mkdir(parents=True, exist_ok=True)
        tree.mkdir(parents=True)
        script = work / "build.sh"
        make = _overlay if below else self._bootstrap
        script.write_text(self._script(layer, tree, make(layer, below, work, tree)))
        self._builders.create()
        try:
            run([*APART, "sh", "-eu", str(script)], timeout=_BUILD_SECONDS, hint=_HINT)
        except LabError as error:
            raise LabError(
                f"the root tree '{layer.name}' cannot be built: {error.message}", hint=error.hint
            ) from error
        finally:
            self._builders.end()
        # Written out before it gets its name: a power cut must not leave a tree of empty files.
        run(["sync", "--file-system", str(work)], timeout=_BUILD_SECONDS)
        (work / "upper" if below else tree).rename(final)
        shutil.rmtree(work)
        self.say(f"built '{layer.name}' in {time.monotonic() - started:.0f} s")

    def _bootstrap(self, layer: Layer, _below: tuple[Path, ...], _work: Path, tree: Path) -> str:
        """Return the commands that make the lowest tree."""
        # A third of the unpacking time is documentation that no host of a lab reads.
        without = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "man", "info", "locale")]
        suite = layer.suite or SUITE
        sources = _sources() if suite == SUITE else _other_sources(suite)
        return shlex.join([*self._mmdebstrap("minbase", layer.packages), *without, suite, str(tree), *sources])

    def _unpack(self, foreign: Foreign, tree: Path) -> list[str]:
        """Return the commands that unpack another suite's packages into a folder of the tree."""
        target = tree / foreign.folder.lstrip("/")
        words = [*self._mmdebstrap("extract", foreign.packages), foreign.suite, str(target)]
        unread = [
            f"{target}/{name}" for name in ("usr/share/doc", "usr/share/man", "usr/share/locale", "var")
        ]
        return [
            f"mkdir -p {target.parent}",
            shlex.join([*words, *_other_sources(foreign.suite)]),
            # This variant runs no customize hook; and what is bound there is the cache of packages.
            f"! mountpoint -q {target}{_ARCHIVES} || umount {target}{_ARCHIVES}",
            shlex.join(["rm", "-rf", "--one-file-system", *unread]),
        ]

    def _mmdebstrap(self, variant: str, packages: tuple[str, ...]) -> list[str]:
        archives = f'"$1"{_ARCHIVES}'
        return [
            *("mmdebstrap", "--quiet", f"--variant={variant}", "--mode=root", "--format=directory"),
            *("--skip=essential/unlink,cleanup/apt", f"--include={','.join(packages)}"),
            *(f"--aptopt={option}" for option in _apt_options()),
            '--aptopt=APT::Install-Recommends "false"',
            '--aptopt=Acquire::Languages "none"',
            '--aptopt=APT::Keep-Downloaded-Packages "true"',
            f"--setup-hook=mkdir -p {archives} && mount --bind {shlex.quote(str(self.folder / 'packages'))} {archives}",
            f"--customize-hook=umount {archives}",
        ]

    def _script(self, layer: Layer, tree: Path, make: str) -> str:
        inside = shlex.join(["chroot", str(tree), "sh", "-eu", "-c", layer.script or ":"])
        lines = [f"echo $$ > {path}" for path in self._builders.joins()]
        lines += [make]
        lines += self._unpack(layer.foreign, tree) if layer.foreign is not None else []
        for path, content in layer.files.items():
            target = tree / path.lstrip("/").rstrip("!")
            mode = "755" if path.endswith("!") else "644"
            lines += [f"printf %s {shlex.quote(content)} | install -D -m {mode} /dev/stdin {target}"]
        return "\n".join([*lines, inside, ""])


def _overlay(layer: Layer, below: tuple[Path, ...], work: Path, tree: Path) -> str:
    """Return the commands that install a layer's packages over the trees below it."""
    for name in ("upper", "work"):
        (work / name).mkdir()
    packages = work.parent / "packages"
    install = (
        "export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8; "
        f"apt-get -q -y install {shlex.join(layer.packages)} || "
        f"{{ apt-get -q update; apt-get -q -y install {shlex.join(layer.packages)}; }}"
    )
    policy = tree / "usr/sbin/policy-rc.d"
    lower = ":".join(str(path) for path in reversed(below))
    changes = f"upperdir={work}/upper,workdir={work}/work"
    return "\n".join(
        [
            f"mount -t overlay overlay -o lowerdir={lower},{changes},volatile {tree}",
            f"mount --bind {packages} {tree}/var/cache/apt/archives",
            f'mount --bind "$(realpath /etc/resolv.conf)" {tree}/etc/resolv.conf',
            f"mount -t proc proc {tree}/proc",
            # Services of the tree must not start on the control machine.
            f"printf '#!/bin/sh\\nexit 101\\n' > {policy}; chmod 755 {policy}",
            shlex.join(["chroot", str(tree), "sh", "-eu", "-c", install]),
            f"rm {policy}",
        ]
    )


def _sources() -> list[str]:
    """Return this machine's Debian sources, when it runs the same release; else mmdebstrap takes its own."""
    release = Path("/etc/os-release").read_text() if Path("/etc/os-release").exists() else ""
    if f"VERSION_CODENAME={SUITE}" not in release.splitlines():
        return []
    candidates = (Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list"))
    return [str(path) for path in candidates if path.exists() and path.stat().st_size][:1]


def _other_sources(suite: str) -> list[str]:
    """Return the line that leads to another suite of the mirror from which this machine has its own."""
    for path in _sources():
        line = other_suite(Path(path).read_text(encoding="utf-8"), suite)
        if line is not None:
            return [line]
    return []


def other_suite(sources: str, suite: str) -> str | None:
    """Return the sources.list line of another suite on the mirror that SUITE comes from; None: none is named."""
    for stanza in re.split(r"\n\s*\n", sources):
        fields = dict(re.findall(r"^([A-Za-z-]+):[ \t]*(.*)$", stanza, re.MULTILINE))
        if SUITE in fields.get("Suites", "").split() and fields.get("URIs"):
            key = fields.get("Signed-By", "")
            signed = f"[signed-by={key}] " if key.startswith("/") else ""
            return f"deb {signed}{fields['URIs'].split()[0]} {suite} main"
    found = re.search(rf"^deb[ \t]+(\[[^]]*\][ \t]+)?(\S+)[ \t]+{SUITE}[ \t]", sources, re.MULTILINE)
    return f"deb {found[1] or ''}{found[2]} {suite} main" if found else None


def _apt_options() -> list[str]:
    """Return this machine's apt settings for proxies and dated mirrors; mmdebstrap does not inherit them."""
    if shutil.which("apt-config") is None:
        return []
    wanted = ("Acquire::http", "Acquire::https", "Acquire::Check-Valid-Until", "Acquire::Check-Date")
    lines = run(["apt-config", "dump"]).splitlines()
    return [line.rstrip(";") for line in lines if line.startswith(wanted) and '""' not in line]
