"""What becomes of a run whose handler raises an exception."""

from __future__ import annotations

import logging

_log = logging.getLogger("hacher")


class Failure(Exception):
    """What a handler raises to say itself whether its run is tried again: :class:`Retry` or :class:`Permanent`.

    The client, the ``error`` port and the metrics get the reason if it is a literal where the exception is made or raised:
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
    """Logs ``error``; whether another attempt may help, and the reason that travels."""
    _log.error("the run failed", exc_info=error)
    if isinstance(error, ImportError) and "failed to map segment" in str(error):
        module = f"{error.name}, or what imports it," if error.name else "the module"
        _log.error("once a function serves, it can load no code: name %s in `preload` of the chain file", module)
    name = type(error).__qualname__
    if isinstance(error, Failure):
        return not isinstance(error, Permanent), _fixed_reason(error) or name
    # What parsers raise of bytes that stay what they are: int, float, json, a codec.
    return not isinstance(error, ValueError), f"the handler raised {name}"


def _fixed_reason(error: Failure) -> str | None:
    """The reason, if it is text that was fixed when the function was written."""
    reason = error.args[0] if len(error.args) == 1 else None
    if type(reason) is not str or not reason:
        return None
    if error._is_fixed:
        return reason
    traceback = error.__traceback__
    while traceback is not None:
        # The object itself, not an equal one: a literal is a constant of the code that has it.
        if any(constant is reason for constant in traceback.tb_frame.f_code.co_consts):
            return reason
        traceback = traceback.tb_next
    return None
