"""Modules that break a host on purpose, for drills; each undoes itself. Only on hosts marked `drill: true`."""
