"""Small file systems for tests: full, read-only. Only root may mount them."""

import os
import subprocess

import pytest


def mount(*arguments: str) -> None:
    """Mount, or skip the test where this user may not; CI may, so there it fails."""
    try:
        subprocess.run(["mount", *arguments], check=True, capture_output=True)  # noqa: S607  wherever the system has it
    except (OSError, subprocess.CalledProcessError) as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"this user may not mount a tmpfs: {error}")
