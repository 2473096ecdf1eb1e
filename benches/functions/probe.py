"""Which packages are there, in which versions, and why others are not: `probe.py PACKAGE...`. Prints JSON."""

import importlib
import importlib.metadata
import json
import platform
import sys

# The modules of packages whose modules have another name.
MODULES = {"pillow": "PIL"}

versions = {}
missing = {}
for package in sys.argv[1:]:
    try:
        importlib.import_module(MODULES.get(package, package))
        versions[package] = importlib.metadata.version(package)
    except Exception as error:
        missing[package] = f"{type(error).__name__}: {error}"
print(json.dumps({"python": platform.python_version(), "versions": versions, "missing": missing}))
