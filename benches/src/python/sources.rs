//! The functions' modules. They are part of this executable, so that it needs no source tree to measure them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

macro_rules! embedded {
    ($($name:literal),+ $(,)?) => {
        [$(($name, include_str!(concat!("../../functions/", $name)))),+]
    };
}

/// The file that every way of calling serves: the handler of the module that [`FUNCTION`] names, timed.
pub const MEASURED: &str = "measured.py";
/// The variable that names a module.
pub const FUNCTION: &str = "FUNCTION";
/// What each process has in its environment besides: a library that makes threads makes none, as all that is
/// measured beside it is one thread.
pub const ONE_THREAD: (&str, &str) = ("OMP_NUM_THREADS", "1");
/// The server that chains are compared with.
pub const OVER_HTTPS: &str = "over_https.py";
/// The process that serves one call.
pub const ONCE: &str = "once.py";
/// What tells which packages are there.
pub const PROBE: &str = "probe.py";
/// What pip is to install.
pub const REQUIREMENTS: &str = "requirements.txt";

/// The folder of what a chain is given: other interpreters leave compiled files beside what they import, and
/// these would be another image.
const OF_CHAINS: &str = "handlers";

/// The modules with handlers, what these share, and [`MEASURED`].
const HANDLERS: [(&str, &str); 10] = embedded![
    "measured.py",
    "noop.py",
    "dynamic_html.py",
    "thumbnailer.py",
    "compression.py",
    "graphs.py",
    "graph_bfs.py",
    "graph_mst.py",
    "graph_pagerank.py",
    "dna_visualisation.py",
];
const OTHERS: [(&str, &str); 4] = embedded!["over_https.py", "once.py", "probe.py", "requirements.txt",];

/// A folder with all of them, as long as this is there.
#[derive(Debug)]
pub struct Sources(TempDir);

impl Sources {
    /// Writes them.
    ///
    /// # Errors
    /// When there is no room for temporary files.
    pub fn write() -> io::Result<Self> {
        let sources = Self(TempDir::new()?);
        for (name, text) in HANDLERS.iter().chain(&OTHERS) {
            fs::write(sources.path(name), text)?;
        }
        fs::create_dir(sources.of_chains())?;
        for (name, text) in HANDLERS {
            fs::write(sources.of_chains().join(name), text)?;
        }
        Ok(sources)
    }

    /// Where they lie.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.0.path()
    }

    /// One of them.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    /// The folder of what chains are given.
    #[must_use]
    pub fn of_chains(&self) -> PathBuf {
        self.path(OF_CHAINS)
    }
}

#[cfg(test)]
mod tests {
    use super::super::function::ALL;
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn each_function_has_its_module_and_no_file_of_the_folder_is_left_out() {
        let sources = Sources::write().unwrap();
        for function in ALL {
            let text = fs::read_to_string(sources.path(&format!("{}.py", function.module))).unwrap();
            assert!(
                text.contains("def handler(body: bytes) -> bytes:"),
                "{}",
                function.name
            );
        }
        let names = |folder: &Path| -> BTreeSet<String> {
            fs::read_dir(folder)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .filter(|name| !name.starts_with(['_', '.']) && !name.starts_with("test_"))
                .filter(|name| name != OF_CHAINS && name != "run")
                .collect()
        };
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("functions");
        assert_eq!(names(sources.folder()), names(&folder));
    }
}
