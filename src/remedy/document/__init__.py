"""YAML as remedy reads it: every node knows its file, line and column, and texts of its author are marked.

Only a marked text is ever a template; what comes from hosts, facts and commands is plain `str`, and stays
data.
"""

from remedy.document.files import Decrypt, load_file
from remedy.document.loader import load_yaml
from remedy.document.nodes import Map, Seq, Text, Unsafe, VaultText

__all__ = ["Decrypt", "Map", "Seq", "Text", "Unsafe", "VaultText", "load_file", "load_yaml"]
