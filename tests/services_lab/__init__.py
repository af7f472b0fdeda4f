"""Modules and runbooks on real databases and caches in lab hosts; `make drills` runs them: `make test` has no time."""
