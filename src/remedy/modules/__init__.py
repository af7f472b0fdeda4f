"""What a task can do; the folder says where it runs.

`find(name)` gives a module's ModuleSpec, `names()` all names; `parse_free_form` and `check` turn
what the user wrote into a module's parameters; `prepare` makes of them what travels to the host.
"""

from remedy.modules.freeform import parse_free_form
from remedy.modules.parameters import check
from remedy.modules.prepare import Source, prepare
from remedy.modules.registry import ModuleSpec, find, names

__all__ = ["ModuleSpec", "Source", "check", "find", "names", "parse_free_form", "prepare"]
