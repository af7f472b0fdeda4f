"""Modules that are shipped to the host: standard library only, Python 3.6 to 3.14."""
