"""Lookups: what a template may fetch on the control machine. What they return is data, never a template."""

from remedy.template.lookups.request import LOOKUPS, Request, run_lookup

__all__ = ["LOOKUPS", "Request", "run_lookup"]
