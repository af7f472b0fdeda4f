"""The importer of the agent: modules come from memory, under their true names, and are loaded when first used.

First used means: asked for a name. `from package import module` alone costs nothing, so that what only a write
or a failure needs is not compiled on a host where nothing is to be written.
"""

import marshal
import sys

# importlib.machinery's and types', which would cost a millisecond to import
_Spec = type(sys.__spec__)
_Module = type(sys)


class Memory(object):
    """Finder and loader of the shipped modules {name: source (str) or marshalled code (bytes)}; packages have neither.

    `packed` is what the stage read, for the agents of further identities; what came after it is `later`.
    """

    def __init__(self, modules, packed=b""):
        self.packed = packed
        self.later = {}
        self._modules = {}
        self._packages = set()
        self._take(modules)

    def find_spec(self, name, path=None, target=None):
        """Return the spec of a shipped module, else None."""
        package = name in self._packages
        if not package and name not in self._modules:
            return None
        return _Spec(name, self, origin="<%s>" % name, is_package=package)

    def add(self, sources):
        """Take further sources; what was imported stays."""
        self.later.update(sources)
        self._take(sources)

    def _take(self, modules):
        self._modules.update(modules)
        for name in modules:
            while "." in name:
                name = name.rpartition(".")[0]
                self._packages.add(name)

    def create_module(self, spec):
        """Return a module that runs its code when it is first asked for a name; a package has none to run."""
        return Waiting(spec.name) if spec.name in self._modules else None

    def exec_module(self, module):
        """Leave it to the module."""

    def get_code(self, name):
        """Return what a module runs."""
        found = self._modules[name]
        if isinstance(found, bytes):
            return marshal.loads(found)
        return compile(found, "<%s>" % name, "exec", 0, True)

    def get_source(self, name):
        """Return a module's source, None where it travelled as byte code."""
        found = self._modules.get(name, "")
        return None if isinstance(found, bytes) else str(found)


class Waiting(_Module):  # type: ignore[valid-type,misc]
    """A module whose code has not run yet."""

    def __getattr__(self, name):
        if name.startswith("__"):  # the import system's own questions
            raise AttributeError(name)
        self.__class__ = _Module
        try:
            exec(self.__loader__.get_code(self.__name__), self.__dict__)
        except BaseException:
            self.__class__ = Waiting  # who asks next learns the same
            raise
        return getattr(self, name)


def start(modules, packed):
    """Install the importer and run the agent; does not return."""
    memory = Memory(modules, packed)
    sys.meta_path.insert(0, memory)
    from remedy.agent.main import main

    main(sys.argv, memory)
