//! What of a folder a function is given.

/// All of a folder, or what a function in Python can need of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Selection {
    /// All that is in it.
    All,
    /// A standard library, without what needs a terminal, a screen, or a compiler.
    PythonLibrary,
    /// Installed packages, without the installer.
    PythonPackages,
}

/// Of a standard library, by the name in its top folder: tests, what shows something, installers; and what
/// depends on how this machine is set up.
const NOT_OF_LIBRARY: &[&str] = &[
    "__phello__",
    "curses",
    "dist-packages",
    "ensurepip",
    "idlelib",
    "lib2to3",
    "pydoc_data",
    "site-packages",
    "sitecustomize.py",
    "test",
    "tkinter",
    "turtle.py",
    "turtledemo",
    "usercustomize.py",
];
/// Extension modules of these, as their names begin.
const NOT_OF_EXTENSIONS: &[&str] = &[
    "_ctypes_test",
    "_curses",
    "_dbm",
    "_gdbm",
    "_testbuffer",
    "_testcapi",
    "_testclinic",
    "_testimportmultiple",
    "_testinternalcapi",
    "_testmultiphase",
    "_tkinter",
    "_xxtestfuzz",
    "nis",
    "ossaudiodev",
    "readline",
    "xxlimited",
];

impl Selection {
    /// Whether what lies there is given. What was compiled on this machine is not: it is made anew from the
    /// source, and would change the measurement with each module that anybody has imported here.
    pub(super) fn takes(self, within: &str) -> bool {
        let name = within.rsplit('/').next().unwrap_or(within);
        let top = within.split('/').next().unwrap_or(within);
        match self {
            Self::All => true,
            Self::PythonLibrary => {
                let is_of_compiler = top.starts_with("config-");
                let is_extension = within.starts_with("lib-dynload/");
                let is_left_out = is_extension
                    && NOT_OF_EXTENSIONS.iter().any(|extension| {
                        let rest = name.strip_prefix(extension);
                        rest.is_some_and(|rest| rest.starts_with(['.', '_']))
                    });
                name != "__pycache__" && !is_of_compiler && !NOT_OF_LIBRARY.contains(&top) && !is_left_out
            }
            Self::PythonPackages => {
                let is_installer = top == "pip" || (top.starts_with("pip-") && top.ends_with(".dist-info"));
                name != "__pycache__" && !is_installer
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compiled_and_what_tests_or_shows_is_left_out() {
        let library = Selection::PythonLibrary;
        for taken in [
            "os.py",
            "json/decoder.py",
            "lib-dynload/_ssl.cpython-311-x86_64-linux-gnu.so",
            "unittest/test/x.py",
            "encodings",
        ] {
            assert!(library.takes(taken), "{taken}");
        }
        for left in [
            "__pycache__",
            "json/__pycache__",
            "test",
            "config-3.11-x86_64-linux-gnu",
            "lib-dynload/readline.cpython-311-x86_64-linux-gnu.so",
            "lib-dynload/_curses_panel.cpython-311-x86_64-linux-gnu.so",
            "sitecustomize.py",
        ] {
            assert!(!library.takes(left), "{left}");
        }
        let packages = Selection::PythonPackages;
        assert!(packages.takes("PIL/Image.py") && packages.takes("numpy/test/x.py"));
        assert!(!packages.takes("pip") && !packages.takes("pip-23.0.1.dist-info"));
        assert!(Selection::All.takes("__pycache__"));
    }
}
