"""Keeps records in step with the folders of originals. What becomes of a file is decided by the one door."""

from imgserve.services.watching.duty import Duty
from imgserve.services.watching.needs import Known
from imgserve.services.watching.watcher import Watcher

__all__ = ["Duty", "Known", "Watcher"]
