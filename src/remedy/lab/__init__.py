"""Disposable hosts for drills and tests."""
