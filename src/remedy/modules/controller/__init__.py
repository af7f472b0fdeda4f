"""Modules that run on the control machine and reach a service through a tunnel."""
