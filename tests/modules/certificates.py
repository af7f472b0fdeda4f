"""Certificates that sign themselves."""

from __future__ import annotations

import subprocess
from pathlib import Path


def self_signed(path: Path, name: str = "db.example") -> Path:
    """Make a certificate of a name, and its key beside it in the same file; the certificate alone is in PATH.crt."""
    ec = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    argv = ["openssl", "req", "-x509", *ec, "-days", "2", "-subj", f"/CN={name}", "-addext",
            f"subjectAltName=DNS:{name}", "-keyout", str(path), "-out", f"{path}.crt"]  # fmt: skip
    subprocess.run(argv, check=True, capture_output=True, timeout=60)
    path.write_text(path.read_text() + Path(f"{path}.crt").read_text())
    return path
