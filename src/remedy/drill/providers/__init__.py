"""Where drill hosts come from: one file a provider."""

from remedy.drill.providers.base import Need, Provider, Stage

__all__ = ["Need", "Provider", "Stage"]
