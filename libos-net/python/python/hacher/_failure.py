"""What becomes of a run whose handler raises an exception."""

from __future__ import annotations

import builtins
import logging
import traceback

_log = logging.getLogger("hacher")


class Failure(Exception):
    """What a handler raises to say itself whether its run is tried again: :class:`Retry` or :class:`Permanent`.

    The client and the ``error`` port get the reason if it is a literal where the exception is made or raised:
    ``raise hacher.Permanent("not a picture")``. A text that is put together could quote the record, so of that they get the
    exception's type alone, and the log has the text.
    """

    # Of a reason that the SDK gives, which is fixed text.
    _is_fixed = False


class Retry(Failure):
    """This attempt failed; another may succeed. Tried again as ``retry`` of the chain file says."""


class Permanent(Failure):
    """No attempt on this record can succeed; the run fails for good."""


def judge(error: BaseException) -> tuple[bool, str]:
    """Whether another attempt may help, and the reason that travels; logs ``error``."""
    # Decided first: filters and handlers of logs, and `__str__` of the exception, may raise anything.
    kind = type(error)
    # What parsers raise of bytes that stay what they are: int, float, json, a codec.
    is_transient = not issubclass(kind, (Permanent, ValueError))
    fixed = None
    try:
        fixed = _fixed_reason(error) if isinstance(error, Failure) else None
        reason = fixed or f"the handler raised {kind.__qualname__}"
    except BaseException:  # of a metaclass
        reason = "the handler raised an exception"
    try:
        _tell(error, fixed)
    except BaseException:
        pass
    return is_transient, reason


def _tell(error: BaseException, fixed: str | None) -> None:
    """Logs ``error``, and what its author may want to do about it; ``fixed`` is the reason that travels."""
    _log.error("the run failed", exc_info=error)
    if isinstance(error, Failure) and error.args and not fixed:
        _log.error("clients learn the type of this exception only: its reason is not a literal")
    if isinstance(error, MemoryError):
        _log.error("the limit is `memory` of the chain file")
    if isinstance(error, ImportError) and "failed to map segment" in str(error):
        module = f"{error.name}, or what imports it," if error.name else "the module"
        _log.error("once a function serves, it can load no code: name %s in `preload` of the chain file", module)


def clear_frames(error: BaseException) -> None:
    """Lets go of what the frames of ``error`` and of all that it was raised from hold, such as views of a body."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        # Frames that still run stay as they are.
        traceback.clear_frames(one.__traceback__)
        waiting += [one.__cause__, one.__context__]
        group = getattr(builtins, "BaseExceptionGroup", None)  # Python 3.11
        if group is not None and isinstance(one, group):
            waiting += one.exceptions


def _fixed_reason(error: Failure) -> str | None:
    """The reason, if it is text that was fixed when the function was written."""
    reason = error.args[0] if len(error.args) == 1 else None
    if type(reason) is not str or not reason:
        return None
    if error._is_fixed:
        return reason
    passed = error.__traceback__
    while passed is not None:
        # The object itself, not an equal one: a literal is a constant of the code that has it.
        if any(constant is reason for constant in passed.tb_frame.f_code.co_consts):
            return reason
        passed = passed.tb_next
    return None
