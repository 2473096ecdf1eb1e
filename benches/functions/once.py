"""Serves the handler once: a body from standard input, what is made of it to standard output."""

import sys

from measured import handler

sys.stdout.buffer.write(handler(sys.stdin.buffer.read()))
