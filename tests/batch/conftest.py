"""The command line in process, as in tests/cli."""

from tests.cli.conftest import medsr

__all__ = ["medsr"]
