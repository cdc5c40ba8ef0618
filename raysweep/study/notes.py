"""What the user should hear while a function works: lines that go to whoever asked."""

from __future__ import annotations

from collections.abc import Callable

Note = Callable[[str], None]
"""Gets one line for the user: a warning, or what is going on."""


def silent(_: str) -> None:
    """Drop the line."""
