"""Hosts, groups and patterns, and variables as named layers."""
