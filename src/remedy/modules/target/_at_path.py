"""What file, copy, template and lineinfile share: something at one path, which an undo puts back."""

from remedy.agent.kinds import Resource
from remedy.modules.target import _undo


class AtPath(Resource):
    """What is at one path and is put back by `_undo.restore`. A subclass says where that is (`locate`)."""

    def __init__(self, params, host):
        Resource.__init__(self, params, host)
        self.files = host.files
        self._path = None

    @property
    def path(self):
        if self._path is None:
            self._path = self.locate()
        return self._path

    def locate(self):
        """Return the canonical path."""
        raise NotImplementedError

    def key(self):
        return "file:" + self.path

    def keep_undone(self, have, kept):
        return _undo.keep_undone(self.files, self.keep(have), kept)

    def undo(self, kept):
        _undo.restore(self.files, kept)
