"""Lines that a rendering process prints: how its log records become lines, and how lines become records again."""

import json
import logging
import sys

_LEVELS = frozenset({logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL})
LONGEST = 8192
"""Characters of a text in a line."""
_OURS = "imgserve.render"


class LineFormatter(logging.Formatter):
    """Formats records of a rendering process as lines of JSON, from which the server makes records again."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        exception = self.formatException(record.exc_info) if record.exc_info else ""
        return json.dumps([record.levelno, record.name, record.getMessage()[:LONGEST], exception[-LONGEST:]])


def log_lines(names: logging.Filter) -> None:
    """Make a rendering process log lines that the server reads; the filter completes the records."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter())
    handler.addFilter(names)
    logging.basicConfig(handlers=[handler])


def read_line(line: bytes) -> tuple[int, str, dict[str, str]]:
    """Return level, text and further fields of a line; the process may be under the control of a hostile file."""
    plain = line.decode("utf-8", "replace")
    try:
        level, *texts = json.loads(plain)
        if type(level) is int and level in _LEVELS and len(texts) == 3 and all(isinstance(one, str) for one in texts):  # noqa: PLR2004
            source, message, exception = (one[:LONGEST] for one in texts)
            more = {"source": "" if source == _OURS else source, "exception": exception}
            return level, message, {name: value for name, value in more.items() if value}
    except (ValueError, TypeError, RecursionError):
        pass  # a message of a library or of the C runtime
    return logging.WARNING, plain[:LONGEST], {"source": "stderr"}
