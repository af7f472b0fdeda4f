"""Say that the host can be worked on: the agent runs there and answers.

Returns `ping`: the text given as `data`.
"""

from remedy.agent.kinds import Param, Probe

PARAMS = (
    Param(
        "data",
        default="pong",
        help="The text to answer; crash makes the module fail, to try out what follows.",
    ),
)

EXAMPLES = """
- ping:
"""


def kind(params):
    return Ping


class Ping(Probe):
    def read(self):
        if self.params["data"] == "crash":
            raise RuntimeError("boom")
        return {"ping": self.params["data"]}
