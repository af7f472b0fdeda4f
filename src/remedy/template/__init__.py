"""Sandboxed templates, variables as named layers, and the vault."""

from remedy.template.compiler import FileOptions
from remedy.template.passwords import read_password_file
from remedy.template.scope import FACTS, Layer, Origin, Scope, Variables
from remedy.template.signals import OMIT, Omit, Pending, Unknowable, UnknownValue
from remedy.template.templar import Templar
from remedy.template.vault import Vault, encrypt

__all__ = [
    "FACTS",
    "OMIT",
    "FileOptions",
    "Layer",
    "Omit",
    "Origin",
    "Pending",
    "Scope",
    "Templar",
    "Unknowable",
    "UnknownValue",
    "Variables",
    "Vault",
    "encrypt",
    "read_password_file",
]
