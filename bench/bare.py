"""The floor: Paramiko, one channel a host, one batch, an in-memory Python; no engine, no journal, no YAML.

    python bare.py INVENTORY

What a tool could at best reach on this machine with this SSH library. Only standard library and Paramiko.
"""

import json
import shlex
import socket
import sys
import time
import zlib
from base64 import b64decode
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import paramiko

HERE = Path(__file__).parent
PATIENCE = 120  # seconds for one host; the floor is measured in tenths of one


def answer(channel: paramiko.Channel) -> list[dict]:
    channel.settimeout(PATIENCE)
    with channel.makefile("rb") as stream:
        said = stream.read()
    if channel.recv_exit_status() or not said:
        raise SystemExit(channel.makefile_stderr("rb").read().decode())
    return json.loads(said)


def serve(name: str, host: dict, common: dict, known: dict, source: str) -> list[dict]:
    """Connect, send the whole work, read the twenty results."""
    port = host["ansible_port"]
    job = (name, host["root"], (HERE / "files/limits.conf").read_bytes())
    program = zlib.compress(f"{source}\nimport json\nprint(json.dumps(work(*{job!r})))".encode())
    stage = f"import sys,zlib;exec(zlib.decompress(sys.stdin.buffer.read({len(program)})))"
    transport = paramiko.Transport(socket.create_connection((host["ansible_host"], port), PATIENCE))
    try:
        transport.connect(
            hostkey=known[f"[{host['ansible_host']}]:{port}"],
            username=common["ansible_user"],
            pkey=paramiko.Ed25519Key.from_private_key_file(common["ansible_ssh_private_key_file"]),
        )
        channel = transport.open_session()
        channel.exec_command(f"{common['ansible_python_interpreter']} -I -B -c {shlex.quote(stage)}")
        channel.sendall(program)
        return answer(channel)
    finally:
        transport.close()


def main() -> None:
    started = time.perf_counter()
    inventory = json.loads(Path(sys.argv[1]).read_text())["all"]
    source = (HERE / "bare_work.py").read_text()
    lines = (Path(sys.argv[1]).parent / "known_hosts").read_text().splitlines()
    known = {name: paramiko.Ed25519Key(data=b64decode(blob)) for name, _, blob in map(str.split, lines)}
    with ThreadPoolExecutor(len(inventory["hosts"])) as pool:
        waiting = {
            name: pool.submit(serve, name, host, inventory["vars"], known, source)
            for name, host in inventory["hosts"].items()
        }
    for name, result in waiting.items():
        results = result.result()
        print(f"{name}: ok={len(results)} changed={sum(r['changed'] for r in results)}")
    print(f"{time.perf_counter() - started:.2f} s")


if __name__ == "__main__":
    main()
