"""Occupy a TCP port: a process listens there, takes connections, and answers nobody.

It is the unit `remedy-drill-port-PORT`. A port that somebody has is refused: stop who listens there first
(fault_service). Returns `port`, `address`, `unit` and `pid`.
"""

import socket

from remedy.agent.kinds import REQUIRED, Failed, Param
from remedy.modules.target.faults._daemon import Running
from remedy.modules.target.faults._fault import STATE

PARAMS = (
    Param("port", "int", default=REQUIRED, help="The port."),
    Param("address", default="0.0.0.0", help="The address; with a colon in it IPv6."),
    STATE,
)

EXAMPLES = """
- fault_port: {port: 80}
- fault_port: {port: 3306, address: 127.0.0.1}
- fault_port: {port: 80, state: absent}
"""

_PROGRAM = """
import socket
address, port = sys.argv[1], int(sys.argv[2])
listening = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listening.bind((address, port))
listening.listen(128)
stay()
"""


def check_params(params):
    if isinstance(params["port"], int) and not 1 <= params["port"] <= 65535:
        return "port: expected 1 to 65535"
    return None


def kind(params):
    return Port


class Port(Running):
    def label(self):
        return "port-%d" % self.params["port"]

    def key(self):
        return "fault:port:%d" % self.params["port"]

    def found(self):
        return True if self.daemon.pid() is not None else None

    def inject(self):
        address, port = self.params["address"], self.params["port"]
        taken = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        try:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind((address, port))
        except OSError as error:
            text = "cannot occupy port %d of %s: %s; stop who listens there first"
            raise Failed(text % (port, address, error.strerror.lower()))
        finally:
            taken.close()
        self.daemon.start(_PROGRAM, address, port)

    def lift(self):
        self.daemon.stop()

    def returns(self, have, now):
        return {
            "port": self.params["port"],
            "address": self.params["address"],
            "unit": self.daemon.unit,
            "pid": self.daemon.pid(),
        }
