"""The command line: reads settings, calls what does the work, prints."""

from imgserve.cli.main import main

__all__ = ["main"]
