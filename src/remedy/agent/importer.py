"""The importer of the agent: modules come from memory, under their true names, and are compiled when first used."""

import sys

PACKAGES = ("remedy", "remedy.agent", "remedy.modules", "remedy.modules.target")


class Memory(object):
    """Finder and loader of the shipped sources {name: source}; packages exist without a source."""

    def __init__(self, sources):
        self.sources = sources

    def find_spec(self, name, path=None, target=None):
        """Return the spec of a shipped module, else None."""
        if name not in self.sources and not self._is_package(name):
            return None
        from importlib.machinery import ModuleSpec

        return ModuleSpec(name, self, origin="<%s>" % name, is_package=self._is_package(name))

    def add(self, sources):
        """Take further sources; what was imported stays."""
        self.sources.update(sources)

    def _is_package(self, name):
        inside = name + "."
        return name in PACKAGES or any(other.startswith(inside) for other in self.sources)

    def create_module(self, spec):
        """Leave it to Python."""

    def exec_module(self, module):
        """Run the module's code."""
        name = module.__name__
        exec(compile(self.sources.get(name, ""), "<%s>" % name, "exec", 0, True), module.__dict__)

    def get_source(self, name):
        """Return a module's source, for tracebacks and for the agents of further identities."""
        return str(self.sources.get(name, ""))


def start(sources):
    """Install the importer and run the agent; does not return."""
    memory = Memory(sources)
    sys.meta_path.insert(0, memory)
    from remedy.agent.main import main

    main(sys.argv, memory)
