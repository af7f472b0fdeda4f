"""`python -m remedy.cli`: the command line where its program is not on PATH."""

from remedy.cli import main

main()
