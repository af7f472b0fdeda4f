"""Sandboxed templates, and the vault."""
