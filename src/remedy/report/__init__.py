"""What a run tells people and programs: console and JSON."""
