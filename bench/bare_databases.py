"""The floor for databases: Paramiko, PyMySQL over direct-tcpip, a thread a host; no engine, no journal, no agent.

    python bare_databases.py INVENTORY

Beside the inventory lies statements.json: what remedy asked a server, word for word.
"""

import json
import socket
import sys
import time
from base64 import b64decode
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import paramiko
import pymysql
from pymysql.cursors import DictCursor

PATIENCE = 300  # seconds for one host; fifty of them share one small machine


def serve(host: dict, common: dict, known: dict, statements: list[str]) -> int:
    """Connect, log in, ask everything; the rows."""
    port, database = host["ansible_port"], (common["mysql_login_host"], host["database_port"])
    transport = paramiko.Transport(socket.create_connection((host["ansible_host"], port), PATIENCE))
    transport.banner_timeout = transport.auth_timeout = transport.channel_timeout = PATIENCE
    try:
        transport.connect(
            hostkey=known[f"[{host['ansible_host']}]:{port}"],
            username=common["ansible_user"],
            pkey=paramiko.Ed25519Key.from_private_key_file(common["ansible_ssh_private_key_file"]),
        )
        channel = transport.open_channel("direct-tcpip", database, ("127.0.0.1", 0))
        client = pymysql.connect(
            user=common["mysql_login_user"],
            password=common["mysql_login_password"],
            defer_connect=True,
            autocommit=True,
            charset="utf8mb4",
            cursorclass=DictCursor,
            read_timeout=PATIENCE,
            ssl_disabled=True,
        )
        client.connect(channel)
        rows = 0
        with client.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
                rows += len(cursor.fetchall())
        client.close()
        return rows
    finally:
        transport.close()


def main() -> None:
    started = time.perf_counter()
    folder = Path(sys.argv[1]).parent
    inventory = json.loads(Path(sys.argv[1]).read_text())["all"]
    statements = json.loads((folder / "statements.json").read_text())
    lines = (folder / "known_hosts").read_text().splitlines()
    known = {name: paramiko.Ed25519Key(data=b64decode(blob)) for name, _, blob in map(str.split, lines)}
    with ThreadPoolExecutor(len(inventory["hosts"])) as pool:
        waiting = {
            name: pool.submit(serve, host, inventory["vars"], known, statements)
            for name, host in inventory["hosts"].items()
        }
    for name, result in waiting.items():
        print(f"{name}: {result.result()} rows")
    print(f"{time.perf_counter() - started:.2f} s")


if __name__ == "__main__":
    main()
