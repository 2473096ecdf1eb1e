"""Runs a handler in a unit test: no daemon, no trustlet, no shared memory, and the rules of the Rust harness.

What would be wrong in a chain is wrong here: a port that is not declared, an output larger than the outbox, a header that
cannot be sent, no output::

    from hacher.testing import Call

    def test_it_shouts():
        assert Call().body(b"hello").run(shout).body == b"HELLO"
"""

from __future__ import annotations

from typing import Any, Callable

from . import _native
from ._function import form_of
from ._native import Record

__all__ = ["Call", "Record", "Reply"]


class Reply:
    """What a handler did."""

    def __init__(self, native: _native.Reply) -> None:
        self._native = native

    @property
    def body(self) -> bytes:
        """The body of the record on the port ``out``; raises what the handler raised if it failed."""
        record = self.port()
        if record is not None:
            return record.body
        if self.exception is not None:
            raise self.exception
        raise AssertionError(f"nothing was sent to the port out: {self.reason}")

    def port(self, name: str = "out") -> Record | None:
        """The complete record that was written to a port. After a failure there is none, as none would be delivered."""
        return self._native.port(name)

    def partial(self, name: str = "out") -> Record | None:
        """What had left of a streamed record before the run failed."""
        return self._native.partial(name)

    @property
    def failed(self) -> bool:
        """Whether the run failed."""
        return self._native.reason is not None

    @property
    def reason(self) -> str | None:
        """Why the run failed, as the client is told; ``None`` if it did not."""
        return self._native.reason

    @property
    def is_transient(self) -> bool | None:
        """Whether the run would be tried again; ``None`` if it did not fail."""
        return self._native.is_transient

    @property
    def exception(self) -> BaseException | None:
        """What the handler raised. A run may fail for another reason, and have no exception."""
        return self._native.exception


class Call(_native.Call):
    """One call of a handler, in the making: each method changes it, and returns it.

    Without any it has no input; is the first attempt, with a minute left; on a function with the one port ``out``, an outbox
    of 64 MiB, no secrets and no environment.
    """

    def run(self, handler: Callable[..., Any]) -> Reply:
        """Runs ``handler``, once."""
        return Reply(self._run(handler, form_of(handler)))
