"""Functions of Hacher chains in Python.

A function is a handler::

    import hacher

    @hacher.function
    def shout(body: bytes) -> bytes:
        return body.upper()

    if __name__ == "__main__":
        hacher.serve(shout)

``hacher.testing`` runs it in a unit test. The forms of handlers, what ``Input`` and ``Output`` have, and which exceptions are
tried again: the README of this package.
"""

from ._failure import Failure, Permanent, Retry
from ._function import function, serve
from ._native import Chunks, Input, Output, Part, Port

__all__ = [
    "Chunks",
    "Failure",
    "Input",
    "Output",
    "Part",
    "Permanent",
    "Port",
    "Retry",
    "function",
    "serve",
]
