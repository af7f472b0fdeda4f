"""Variables as named layers: who set what, and what is still on its way."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from remedy.document import Map, Text, VaultText
from remedy.errors import Position
from remedy.template.missing import Missing
from remedy.template.plain import is_static, plain
from remedy.template.signals import Unknowable

if TYPE_CHECKING:
    from remedy.template.templar import Templar

FACTS = "facts"
"""The layer of facts: a pending `ansible_*` means names that no layer above this one holds."""


@dataclass(frozen=True)
class Layer:
    """Variables from one kind of source, such as "play vars".

    `data` says that the values come from hosts or from a render: they are taken as they are.
    """

    name: str
    values: Mapping[str, Any]
    data: bool = False
    _ready: dict[str, tuple[Any, bool, Any]] = field(default_factory=dict, repr=False, compare=False)

    def ready(self, name: str) -> tuple[bool, Any]:
        """Return whether a value needs no rendering, and then the value as plain data."""
        value = self.values[name]
        if self.data or not isinstance(value, str | dict | list | tuple):
            return not isinstance(value, Unknowable), value
        known = self._ready.get(name)
        if known is None or known[0] is not value:
            static = is_static(value)
            known = (value, static, plain(value) if static else None)
            self._ready[name] = known
        return known[1], known[2]


@dataclass(frozen=True)
class Origin:
    """Who set a variable: the layer's name, where it stands, and the value as written there."""

    layer: str
    position: Position | None
    value: Any


class Scope:
    """The variables one host sees in one task: layers, low to high; a higher one wins.

    `pending` holds the names that are still on their way, and is asked anew each time; an entry that ends in
    `*` means every name with that start, unless a layer above the facts holds it.
    """

    __slots__ = ("_pending", "_settled", "layers", "templar")

    def __init__(
        self,
        layers: Sequence[Layer],
        pending: Collection[str] = (),
        *,
        templar: Templar,
        settled: frozenset[str] = frozenset(),
    ) -> None:
        self.layers = tuple(layers)
        self.templar = templar
        self._pending = pending
        self._settled = settled

    def with_layers(self, layers: Iterable[Layer]) -> Scope:
        """Return a scope with more layers on top; what they set is not pending, whatever else is."""
        added = tuple(layers)
        settled = self._settled.union(*(layer.values for layer in added))
        return Scope((*self.layers, *added), self._pending, templar=self.templar, settled=settled)

    def with_layer(self, layer: Layer) -> Scope:
        """Return a scope with one more layer on top."""
        return self.with_layers((layer,))

    def with_values(self, name: str, values: Mapping[str, Any]) -> Scope:
        """Return a scope with one more layer of data on top."""
        return self.with_layers((Layer(name, values, data=True),))

    def pending(self) -> list[str]:
        """Return the names and `start*` patterns that are pending now."""
        return sorted(set(self._pending) - self._settled)

    def is_pending(self, name: str) -> bool:
        """Tell whether the value of a name is still on its way."""
        if not self._pending or name in self._settled:
            return False
        if name in self._pending:
            return True
        starts = tuple(start[:-1] for start in self._pending if start.endswith("*"))
        return bool(starts) and name.startswith(starts) and not self._above_facts(name)

    def _above_facts(self, name: str) -> bool:
        for layer in reversed(self.layers):
            if layer.name == FACTS:
                return False
            if name in layer.values:
                return True
        return False

    def layer_of(self, name: str) -> Layer | None:
        """Return the layer whose value for a name wins."""
        for layer in reversed(self.layers):
            if name in layer.values:
                return layer
        return None

    def has(self, name: str) -> bool:
        """Tell whether a name is set, or will be."""
        return self.is_pending(name) or self.layer_of(name) is not None

    def raw(self, name: str, default: Any = None) -> Any:
        """Return the value of a name as written, without rendering it."""
        layer = self.layer_of(name)
        return default if layer is None else layer.values[name]

    def get(self, name: str, default: Any = None) -> Any:
        """Return the rendered value of a name, `default` where it is not set.

        Raises Pending, UnknownValue, and InputError where its template fails.
        """
        return self.templar.value(name, self, default)

    def why(self, name: str) -> Origin | None:
        """Return who set a name, with its value as written; None where nobody did."""
        layer = self.layer_of(name)
        if layer is None:
            return None
        value = layer.values[name]
        position = layer.values.values_at.get(name) if isinstance(layer.values, Map) else None
        if isinstance(value, Text | VaultText):
            position = position or value.position
        return Origin(layer.name, position, value)

    def names(self) -> set[str]:
        """Return every name that is set."""
        return {name for layer in self.layers for name in layer.values}


class Variables(Mapping[str, Any]):
    """All variables of a scope as a mapping, each rendered when it is read: `vars`, or a host in `hostvars`.

    Whoever looks at the whole of it while something is pending has touched that.
    """

    __slots__ = ("_scope",)

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    def __getitem__(self, name: str) -> Any:
        value = self._scope.templar.resolve(name, self._scope)
        if isinstance(value, Missing):
            return value
        if value is NOT_SET:
            raise KeyError(name)
        return value

    def __contains__(self, name: object) -> bool:
        if isinstance(name, str) and self._scope.is_pending(name):
            self._scope.templar.touch(name)
        return isinstance(name, str) and self._scope.layer_of(name) is not None

    def __iter__(self) -> Iterator[str]:
        for name in self._scope.pending():
            self._scope.templar.touch(name)
        return iter(self._scope.names())

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return repr(dict(self))


class _NotSet:
    def __repr__(self) -> str:
        return "not set"


NOT_SET = _NotSet()
"""What `Templar.resolve` returns for a name that no layer holds."""
