"""Logs: on standard error, which the chain file drops or forwards (``logs``); the service adds time and instance."""

from __future__ import annotations

import logging
import os
import sys

from ._native import current_run

# As the SDK of Rust reads it.
LOG_LEVEL = "LOG_LEVEL"
_LEVELS = {
    "error": logging.ERROR,
    "warn": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
    "trace": 1,
    "off": logging.CRITICAL + 1,
}


class Formatter(logging.Formatter):
    """A line as functions in Rust write it: level, request and attempt, logger, message."""

    def format(self, record: logging.LogRecord) -> str:
        run = current_run()
        where = "run{invocation=%s attempt=%d}: " % run if run else ""
        return f"{record.levelname} {where}{record.name}: {super().format(record)}"


def begin() -> None:
    """Sends what is logged to standard error, unless the author has configured logging already."""
    # Not a terminal, so a line would wait for others.
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(line_buffering=True)
    root = logging.getLogger()
    if root.handlers:
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Formatter())
    root.addHandler(handler)
    root.setLevel(_LEVELS.get(os.environ.get(LOG_LEVEL, "").lower(), logging.INFO))
