"""What the modules share that make one link of a chain larger: they refuse to shrink, and finish what they began."""

from remedy.agent import family
from remedy.agent.kinds import Failed, Irreversible, Param, Resource
from remedy.modules.target import _amount, _blocks, _chain
from remedy.modules.target._amount import shown

MOUNT = Param(
    "mount", "path", help="Refuse unless the file system mounted here lies on it: names of devices shift."
)
SIZE = Param(
    "size",
    default="all",
    help="How large it becomes: a size (20G), what to add (+5G, +20%), or all that there is.",
)

# A broken pipe must not end a program in the middle of its writing, when the agent that reads from it was killed.
_STEADY = "trap '' PIPE HUP\n"


class Growing(Resource):
    """One link. A subclass MUST answer key, read (bytes among it), wanted and write.

    One that has the parameter `device` MAY say what kinds of Block it takes, and in a word what those are: `noun`.
    """

    interruptible = False
    deadline = 3600
    kinds = ()  # type: tuple[str, ...]
    noun = ""
    _block = None
    _goal = None

    @property
    def block(self):
        """The device, found once; raises Failed for another kind, and where the mount does not lie on it."""
        if self._block is None:
            block = _blocks.at(self.params["device"])
            if self.kinds and block.kind not in self.kinds:
                raise Failed(
                    "%s is no %s: it is of the kind %s" % (self.params["device"], self.noun, block.kind)
                )
            self._guard(block)
            self._block = block
        return self._block

    def keep(self, have):
        return Irreversible("what has grown is not made smaller", self.saved())

    def saved(self):
        """Return {name: bytes}: the tables and metadata as they were, for the run's folder."""
        return None

    def why(self, have):
        return "it has %s (%d bytes) already" % (shown(have["bytes"]), have["bytes"])

    def goal(self, have, most, unit, what, helps):
        """Return the bytes that are wanted, decided once; `most` can be had. Raises Failed.

        A size is rounded up to `unit`; what is larger than asked by less than that counts as as large as asked.
        """
        if self._goal is None:
            asked = self.params["size"]
            wanted = _amount.target(asked, have)
            if wanted is None:
                wanted = most
            elif wanted <= have - unit:
                raise Failed("%s has %s (%d bytes), and %s (%d bytes) is asked for: remedy makes nothing smaller"
                             % (what, shown(have), have, shown(wanted), wanted))  # fmt: skip
            elif wanted > most:
                raise Failed("%s can become %s (%d bytes) at most, and %s (%d bytes) is asked for: %s"
                             % (what, shown(most), most, shown(wanted), wanted, helps))  # fmt: skip
            self._goal = min(max(have, _amount.up(wanted, unit)), max(most, have))
        return self._goal

    def _guard(self, block):
        """Refuse a device that does not carry the mount asked for."""
        if self.params["mount"]:
            try:
                carries = _blocks.all_below(_chain.device(_chain.mounted(self.host, self.params["mount"])))
            except _chain.Unclear as error:
                raise Failed("%s is left alone: %s" % (block.name, error))
            if block.number not in carries:
                raise Failed(
                    "%s does not carry %s: nothing is done to it" % (block.name, self.params["mount"])
                )

    def size_of(self, block):
        """Return the bytes of a device, in check mode with what earlier tasks would have made of it."""
        return self.host.foreseen.get("size:" + block.number, block.size) if self.host.check else block.size

    def foresee(self, block, size):
        """Check mode: tell the tasks that follow."""
        self.host.foreseen["size:" + block.number] = size

    def steady(self, what, script, words=(), ok=(0,), environment=None):
        """Run a shell script that goes on to its end, whatever becomes of this agent; return Completed.

        It does not carry the mark by which an agent ends what a step has left behind (agent/family.py). `what` names it
        where it fails.
        """
        argv = ["env", "-u", family.MARK, "sh", "-c", _STEADY + script, "sh"] + [str(word) for word in words]
        done = self.host.run(argv, ok=None, c_locale=True, environment=environment)
        if ok is not None and done.rc not in ok:
            said = (done.stderr.strip() or done.stdout.strip()).decode("utf-8", "replace")
            raise Failed("%s ended with exit status %d: %s" % (what, done.rc, said[-2000:]), rc=done.rc)
        return done
