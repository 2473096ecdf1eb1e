//! Keys of functions in Python.

use crate::kinds::{Key, OwnKind, TextKind};

/// The longest path; as of other keys.
pub(crate) const MAX_PATH_BYTES: usize = 4096;
/// Most modules of `preload`.
pub const MAX_PRELOAD: usize = 64;
/// The longest name of a module, and of a handler.
pub(crate) const MAX_MODULE_BYTES: usize = 255;
/// Where a function in Python finds the interpreter's library and its packages: no other file can be there.
pub const PYTHON_PLACE: &str = "/python";
/// Variables by which a function in Python finds them.
pub(crate) const PYTHON_VARIABLES: &[&str] = &["PYTHONHOME", "PYTHONPATH"];

pub(crate) const PYTHON: Key<TextKind> = Key {
    name: "python",
    doc: "Instead of `exec`: a file of Python, relative to this file, and the handler in it, as \"app.py:handler\". The \
          interpreter, its library, packages and all that these link come with it. The function finds the file as `files` \
          would place it, and other modules of its own among its `files` beside it.",
    kind: TextKind {
        max_bytes: MAX_PATH_BYTES,
        required: false,
        example: "app.py:handler",
    },
};
pub(crate) const VENV: Key<TextKind> = Key {
    name: "venv",
    doc: "The virtual environment whose packages a function in Python has, relative to this file. Without it these are the \
          interpreter's own.",
    kind: TextKind {
        max_bytes: MAX_PATH_BYTES,
        required: false,
        example: ".venv",
    },
};
pub(crate) const INTERPRETER: Key<TextKind> = Key {
    name: "interpreter",
    doc: "The interpreter of a function in Python, 3.9 or later, relative to this file. Without it that of `venv`, else \
          `python3` of the machine.",
    kind: TextKind {
        max_bytes: MAX_PATH_BYTES,
        required: false,
        example: "/usr/bin/python3",
    },
};
pub(crate) const PRELOAD: Key<OwnKind> = Key {
    name: "preload",
    doc: "Modules that a function in Python imports before its own file. Once it serves it can load no code, so what has \
          extension modules and is imported late belongs here.",
    kind: OwnKind::Modules,
};
