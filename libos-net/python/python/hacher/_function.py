"""Handlers: which form one has, and how it is served."""

from __future__ import annotations

import sys
import types
from typing import Any, Callable, NoReturn, TypeVar

from . import _log, _native

H = TypeVar("H", bound=Callable[..., Any])

_EXPECTED = "a handler takes the body, the input, or input and output"
# What the one parameter of a handler is annotated with, and the form that this asks for.
_FORMS: dict[Any, str] = {
    bytes: "body",
    memoryview: "view",
    str: "text",
    _native.Input: "input",
}
_FORMS_BY_NAME = {kind.__name__: form for kind, form in _FORMS.items()}
_functions: list[Callable[..., Any]] = []


def function(handler: H) -> H:
    """Marks a handler as its module's function; returns it as it is.

    Whether it has one of the forms of handlers is checked here, so that a mistake shows when the module is imported.
    ``hacher.serve()`` serves the function that was marked, if there is one only.
    """
    form_of(handler)
    _functions.append(handler)
    return handler


def serve(handler: Callable[..., Any] | None = None) -> NoReturn:
    """Serves ``handler`` as the function of a chain; ends the process when the service stops.

    All that its runs need is imported before: from here on no code can be loaded, so an extension module that is imported
    later is refused (``syscalls = "program"`` in the chain file allows it).
    """
    handler = the_function() if handler is None else handler
    form = form_of(handler)
    _log.begin()
    code = _native.serve(handler, form)
    sys.exit(code)


def the_function(module: str | None = None) -> Callable[..., Any]:
    """The handler that was marked, in the module of this name if it is given."""
    found = [one for one in _functions if module is None or getattr(one, "__module__", None) == module]
    if len(found) != 1:
        raise TypeError(f"{len(found)} handlers are marked with @hacher.function: say which one to serve")
    return found[0]


def form_of(handler: Callable[..., Any]) -> str:
    """Which of the forms ``handler`` has: ``body``, ``view``, ``text``, ``input`` or ``both``."""
    if not callable(handler):
        raise TypeError(f"a handler is a function, and this is {type(handler).__name__}")
    _check_calls(handler)
    names, annotations = _parameters(handler)
    if len(names) == 2:
        return "both"
    if len(names) != 1:
        raise TypeError(f"{_EXPECTED}; this one has {len(names)} parameters without a default")
    kind = annotations.get(names[0], bytes)
    if isinstance(kind, str):
        form = _FORMS_BY_NAME.get(kind.strip("\"'").rpartition(".")[2])
    else:
        form = _FORMS.get(kind) if isinstance(kind, type) else None
    if form is None:
        raise TypeError(f"{_EXPECTED}; this one is annotated with {kind}, not bytes, memoryview, str or hacher.Input")
    return form


# What a call returns without running the body: `inspect.CO_GENERATOR`, `CO_COROUTINE`, `CO_ASYNC_GENERATOR`.
_LAZY = {0x20: "a generator", 0x80: "async", 0x200: "an async generator"}


def _check_calls(handler: Callable[..., Any]) -> None:
    """Refuses what a call does not run, or cannot be called with a record alone."""
    inner: Any = handler
    while hasattr(inner, "func") and not hasattr(inner, "__code__"):  # functools.partial
        inner = inner.func
    given = set(getattr(handler, "keywords", None) or ())
    if isinstance(inner, types.MethodType):
        inner = inner.__func__
    elif not hasattr(inner, "__code__"):
        inner = getattr(type(inner), "__call__", None)
    code = getattr(inner, "__code__", None)
    if code is None:
        return
    for flag, what in _LAZY.items():
        if code.co_flags & flag:
            raise TypeError(f"{_EXPECTED}, and runs when it is called; this one is {what}: write it with def and return")
    by_name = code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]
    missing = [name for name in by_name if name not in (inner.__kwdefaults__ or {}) and name not in given]
    if missing:
        raise TypeError(f"{_EXPECTED}; this one also needs {', '.join(missing)} by name: give it a default")


def _parameters(handler: Callable[..., Any]) -> tuple[list[str], dict[str, Any]]:
    """The positional parameters that a call has to give, and all annotations."""
    inner = handler
    bound = 0
    if isinstance(inner, types.MethodType):
        inner, bound = inner.__func__, 1
    elif not hasattr(inner, "__code__") and hasattr(type(inner).__call__, "__code__"):  # an object that is called
        inner, bound = type(inner).__call__, 1
    code = getattr(inner, "__code__", None)
    if code is None or hasattr(inner, "__wrapped__"):
        # Slow to import, and rarely needed: a partial, a decorated function.
        import inspect

        signature = inspect.signature(handler)
        positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        given = [one for one in signature.parameters.values() if one.kind in positional]
        return (
            [one.name for one in given if one.default is one.empty],
            {one.name: one.annotation for one in given if one.annotation is not one.empty},
        )
    defaults = len(inner.__defaults__ or ())
    return list(code.co_varnames[bound : code.co_argcount - defaults]), dict(inner.__annotations__)
