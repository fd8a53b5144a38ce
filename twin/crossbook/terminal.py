"""Where the command line writes."""

import contextlib

from rich.console import Console

console = Console(highlight=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, soft_wrap=True)


def report(message: str) -> None:
    """Say what the twin does."""
    with contextlib.suppress(OSError):  # a terminal that went away must not keep the supervisor from its work
        console.print(f"crossbook  {message}", style="bold", markup=False)
