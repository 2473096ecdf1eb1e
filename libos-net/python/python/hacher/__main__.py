"""``python3 -m hacher [--preload=MODULE,...] FILE[:HANDLER] [ARGUMENT...]``: serves a handler.

It is what a chain file's ``python = "app.py:handler"`` runs. The arguments are those of the file, in ``sys.argv``.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import site
import sys
import traceback
from typing import Any, Callable, NoReturn

from . import _function, _log, _unlisted

# `EX_CONFIG` of sysexits.h: the process never served, and says why on standard error.
INITIALISATION_FAILED = 78
PRELOAD = "--preload="
USAGE = "usage: python3 -m hacher [--preload=MODULE,...] FILE[:HANDLER] [ARGUMENT...]"


def add_packages() -> None:
    """Follows the ``.pth`` files of the folders of packages, as for packages that are installed."""
    for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep):
        if folder:
            site.addsitedir(folder)


def split(named: str) -> tuple[str, str]:
    """File and handler of ``FILE[:HANDLER]``; the file may have colons."""
    path, colon, name = named.rpartition(":")
    return (path, name) if colon and (not name or name.isidentifier()) else (named, "")


def load(named: str) -> Callable[..., Any]:
    """The handler that ``FILE:HANDLER`` names; without a name, the one that the file marks."""
    path, name = split(named)
    path = os.path.abspath(path)
    folder, file = os.path.split(path)
    # Before all others, and once.
    sys.path[:] = [folder, *(one for one in sys.path if one != folder)]
    _unlisted.find_in(folder)
    module_name = os.path.splitext(file)[0]
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no file of Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    spec.loader.exec_module(module)
    if not name:
        return _function.the_function(module_name)
    handler: Callable[..., Any] = getattr(module, name)
    return handler


def main(arguments: list[str]) -> NoReturn:
    preload: list[str] = []
    if arguments and arguments[0].startswith(PRELOAD):
        preload = arguments[0][len(PRELOAD) :].split(",")
        arguments = arguments[1:]
    if not arguments:
        sys.exit(USAGE)
    named = arguments[0]
    sys.argv = [split(named)[0], *arguments[1:]]
    # `-m` has put the current folder first, which has nothing to do with the file.
    if not getattr(sys.flags, "safe_path", False):
        sys.path.pop(0)
    _log.begin()
    try:
        add_packages()
        for module in preload:
            importlib.import_module(module)
        handler = load(named)
        _function.form_of(handler)
    except BaseException:  # also `sys.exit()` at the top of the file
        traceback.print_exc()
        sys.exit(INITIALISATION_FAILED)
    _function.serve(handler)


if __name__ == "__main__":
    main(sys.argv[1:])
