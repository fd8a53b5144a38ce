"""`python -m crossbook`, the same as the command `crossbook`."""

from crossbook.cli import main

main()
