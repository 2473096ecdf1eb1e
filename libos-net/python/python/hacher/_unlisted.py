"""Modules in a folder that cannot be listed, as the root of a function: the finder of the interpreter looks only for what
it has seen in the list of a folder."""

from __future__ import annotations

import os
import sys
from importlib.machinery import BYTECODE_SUFFIXES, EXTENSION_SUFFIXES, SOURCE_SUFFIXES, ModuleSpec, PathFinder
from importlib.util import spec_from_file_location
from typing import Any

# The order in which the interpreter looks for them.
_SUFFIXES = [*EXTENSION_SUFFIXES, *SOURCE_SUFFIXES, *BYTECODE_SUFFIXES]


class Finder:
    """Finds the modules and packages in one folder by asking for each file."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if path is not None:  # in a package, which has a path of its own
            return None
        place = os.path.join(self._folder, name)
        for stem, inside in ((os.path.join(place, "__init__"), [place]), (place, None)):
            for suffix in _SUFFIXES:
                if os.path.isfile(stem + suffix):
                    return spec_from_file_location(name, stem + suffix, submodule_search_locations=inside)
        return None


def find_in(folder: str) -> None:
    """Has the modules of ``folder`` found before those of ``sys.path``, if the folder cannot be listed."""
    try:
        os.scandir(folder).close()
    except OSError:
        finders: list[Any] = sys.meta_path
        at = finders.index(PathFinder) if PathFinder in finders else len(finders)
        finders.insert(at, Finder(folder))
