"""Hosts, groups and their variables: INI, YAML, programs, folders of these."""

from remedy.inventory.inventory import Inventory
from remedy.inventory.load import load
from remedy.inventory.model import Group, Host

__all__ = ["Group", "Host", "Inventory", "load"]
