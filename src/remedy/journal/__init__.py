"""The run journal, written ahead, and what undoes a run."""
