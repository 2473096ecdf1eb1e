//! Keeps the executables small that the tests start, and writes weakened copies of the two files whose
//! orderings carry a hand-over, for `tests/loom_hand_over`.
//!
//! Every ordering stronger than `Relaxed` in those files stands under a `// SYNC <name>:` comment. Each such
//! site gives one copy of its file for each way of weakening it, as a module `<name>_<weakening>` of
//! `weakened.rs` in the output directory. An ordering without its comment fails the build, so that none goes
//! unchecked.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// The files: folder, name of the module, and the other module that its weakened copy is used with.
const SOURCES: [(&str, &str, &str); 2] = [("region", "ring", "park"), ("wait", "park", "ring")];

/// What stands at a site, what to put there instead, and what that is called.
const WEAKENINGS: [(&str, &str, &str); 4] = [
    ("Ordering::Release", "Ordering::Relaxed", "relaxed"),
    ("fence(Ordering::Acquire);", "", "removed"),
    ("fence(Ordering::SeqCst);", "fence(Ordering::AcqRel);", "acq_rel"),
    ("fence(Ordering::SeqCst);", "", "removed"),
];

/// Executables that a service measures and copies at each start: with debug information they are up to ten
/// times as long. The others keep it, for `tests/trusted_base.rs`.
const STRIPPED: [&str; 7] = [
    "adaptor-under-test",
    "fabric-gateway-taken-over",
    "fabric-haunted",
    "fabric-under-test",
    "greet",
    "lambda-function",
    "test-function",
];

/// One ordering stronger than `Relaxed`.
struct Site<'a> {
    name: &'a str,
    /// Which line of the file it stands in, from 0.
    line: usize,
    text: &'a str,
}

fn main() -> Result<(), Box<dyn Error>> {
    // Leaves out the unit tests of the two files, which use atomics outside a model.
    println!("cargo::rustc-cfg=loom");
    for name in STRIPPED {
        println!("cargo::rustc-link-arg-bin={name}=-Wl,--strip-debug");
    }

    let folder = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../libos-net/path/src");
    let mut copies = String::new();
    let mut names = Vec::new();
    for (under, module, other) in SOURCES {
        let path = folder.join(under).join(module).with_extension("rs");
        println!("cargo::rerun-if-changed={}", path.display());
        let source = fs::read_to_string(&path)?;
        for site in sites(&source).map_err(|fault| format!("{}: {fault}", path.display()))? {
            let before = names.len();
            for (strong, weak, weakening) in WEAKENINGS {
                if site.text.contains(strong) {
                    let name = format!("{}_{weakening}", site.name);
                    let copy = weaken(&source, &site, strong, weak);
                    writeln!(copies, "pub(crate) mod {name} {{ pub(crate) use crate::{other};")?;
                    writeln!(copies, "pub(crate) mod {module} {{\n{copy}}} }}")?;
                    names.push(name);
                }
            }
            if names.len() == before {
                return Err(format!("{}:{}: no weakening is known", path.display(), site.line + 1).into());
            }
        }
    }
    writeln!(copies, "pub(crate) const NAMES: &[&str] = &{names:?};")?;
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("weakened.rs"), copies)?;
    Ok(())
}

/// The sites of a file, without those in its unit tests.
fn sites(source: &str) -> Result<Vec<Site<'_>>, String> {
    let mut sites = Vec::new();
    let mut announced = None;
    let lines = source.lines().map(str::trim).enumerate();
    for (line, text) in lines.take_while(|(_, text)| !text.starts_with("mod tests")) {
        if let Some(rest) = text.strip_prefix("// SYNC ") {
            announced = rest.split_once(':').map(|(name, _)| name);
        } else if !text.starts_with("//") && text.replace("Ordering::Relaxed", "").contains("Ordering::") {
            let name = announced
                .take()
                .ok_or_else(|| format!("line {}: an ordering without its `// SYNC <name>:`", line + 1))?;
            sites.push(Site { name, line, text });
        }
    }
    Ok(sites)
}

/// The file with one site weakened. Its header becomes a plain comment, for it is included inside a module.
fn weaken(source: &str, site: &Site<'_>, strong: &str, weak: &str) -> String {
    let mut copy = String::new();
    for (line, text) in source.lines().enumerate() {
        if line == site.line {
            copy.push_str(&text.replacen(strong, weak, 1));
        } else {
            copy.push_str(&text.replacen("//!", "//", 1));
        }
        copy.push('\n');
    }
    copy
}
