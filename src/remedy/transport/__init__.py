"""SSH by fabric and paramiko, local processes, identities: from a host's variables to a link with its agent.

    with Connector() as connector:
        connection = connector.connect(Target.from_variables("web1", variables, defaults))
        link = open_link(connection, start={"t": "start", ...}, first={"t": "batch", ...})

Nothing heavy is imported before the first connection is made.
"""

from remedy.transport.connection import Connection
from remedy.transport.connector import Connector
from remedy.transport.identity import Identity
from remedy.transport.line import Line
from remedy.transport.link import Link
from remedy.transport.raw import RawResult, run_raw
from remedy.transport.reach import NoService, reach
from remedy.transport.startup import open_link
from remedy.transport.target import Target, TargetDefaults

__all__ = [
    "Connection",
    "Connector",
    "Identity",
    "Line",
    "Link",
    "NoService",
    "RawResult",
    "Target",
    "TargetDefaults",
    "open_link",
    "reach",
    "run_raw",
]
