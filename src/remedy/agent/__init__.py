"""The half that runs on the host, from memory: standard library only, Python 3.6 to 3.14."""
