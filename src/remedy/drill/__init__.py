"""Drills: break a real host, let its runbook heal it, prove it, and undo everything."""
