"""The importer of the agent: modules come from memory, under their true names, and are compiled when first used.

First used means: asked for a name. `from package import module` alone costs nothing, so that what only a write
or a failure needs is not compiled on a host where nothing is to be written.
"""

import sys

# importlib.machinery's and types', which would cost a millisecond to import
_Spec = type(sys.__spec__)
_Module = type(sys)


class Memory(object):
    """Finder and loader of the shipped sources {name: source}; packages exist without a source."""

    def __init__(self, sources):
        self.sources = {}
        self._packages = set()
        self.add(sources)

    def find_spec(self, name, path=None, target=None):
        """Return the spec of a shipped module, else None."""
        package = name in self._packages
        if not package and name not in self.sources:
            return None
        return _Spec(name, self, origin="<%s>" % name, is_package=package)

    def add(self, sources):
        """Take further sources; what was imported stays."""
        self.sources.update(sources)
        for name in sources:
            while "." in name:
                name = name.rpartition(".")[0]
                self._packages.add(name)

    def create_module(self, spec):
        """Return a module that runs its code when it is first asked for a name; a package has none to run."""
        return Waiting(spec.name) if spec.name in self.sources else None

    def exec_module(self, module):
        """Leave it to the module."""

    def get_source(self, name):
        """Return a module's source, for tracebacks and for the agents of further identities."""
        return str(self.sources.get(name, ""))


class Waiting(_Module):  # type: ignore[valid-type,misc]
    """A module whose code has not run yet."""

    def __getattr__(self, name):
        if name.startswith("__"):  # the import system's own questions
            raise AttributeError(name)
        self.__class__ = _Module
        try:
            code = compile(self.__loader__.get_source(self.__name__), self.__spec__.origin, "exec", 0, True)
            exec(code, self.__dict__)
        except BaseException:
            self.__class__ = Waiting  # who asks next learns the same
            raise
        return getattr(self, name)


def start(sources):
    """Install the importer and run the agent; does not return."""
    memory = Memory(sources)
    sys.meta_path.insert(0, memory)
    from remedy.agent.main import main

    main(sys.argv, memory)
