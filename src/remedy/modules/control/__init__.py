"""Modules that run in the engine and touch no host."""
