"""Playbooks: from YAML with file:line on every node to the model the engine runs."""
