"""One run: sections, a cursor for each host, batches, handlers, gates."""
