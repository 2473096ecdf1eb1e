//! The files of a crate, and what they import of each other: as far as reading `use` and paths tells, without
//! a compiler.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The path of a module below its crate's root; empty for the root.
pub(crate) type Module = Vec<String>;

/// The files of one crate but for its executables, by their modules.
pub(crate) struct Modules(BTreeMap<Module, Source>);

struct Source {
    path: PathBuf,
    /// What is compiled without tests, without comments and the contents of literals.
    code: String,
    lines: usize,
}

impl Modules {
    /// Reads what lies under `folder`. Modules that only tests have are left out.
    pub(crate) fn read(folder: &Path) -> Self {
        let mut files = Vec::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(under) = folders.pop() {
            for entry in fs::read_dir(under).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let text = fs::read_to_string(&path).unwrap();
                    files.push((path.strip_prefix(folder).unwrap().to_owned(), text));
                }
            }
        }
        Self::new(files)
    }

    fn new(files: impl IntoIterator<Item = (PathBuf, String)>) -> Self {
        let mut modules = BTreeMap::new();
        let mut of_tests = BTreeSet::new();
        for (path, text) in files {
            let Some(module) = module_of(&path) else { continue };
            let (code, tests) = without_tests(&bare(&text));
            for name in declared(&tests) {
                let mut of_test = module.clone();
                of_test.push(name.to_owned());
                of_tests.insert(of_test);
            }
            let lines = text.lines().count();
            modules.insert(module, Source { path, code, lines });
        }
        modules.retain(|module, _| !(0..=module.len()).any(|len| of_tests.contains(&module[..len])));
        Self(modules)
    }

    /// Each file with its lines, those of its unit tests too.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (&Path, usize)> {
        self.0
            .values()
            .map(|source| (source.path.as_path(), source.lines))
    }

    /// What each file imports of the others. To declare a module is no import, to pass on what is in it is
    /// one.
    pub(crate) fn imports(&self) -> BTreeMap<Module, BTreeSet<Module>> {
        let files = self.0.iter();
        files
            .map(|(module, source)| {
                let paths = paths(&source.code);
                let mut imported: BTreeSet<_> = paths
                    .iter()
                    .filter_map(|path| self.file_of(module, path))
                    .collect();
                imported.remove(module);
                (module.clone(), imported)
            })
            .collect()
    }

    /// The file that a path in the file of `module` leads to, if it is one of this crate.
    fn file_of(&self, module: &Module, path: &[String]) -> Option<Module> {
        let mut rest = path;
        let mut full = match rest.first()?.as_str() {
            "crate" => {
                rest = &rest[1..];
                Module::new()
            }
            "self" => {
                rest = &rest[1..];
                module.clone()
            }
            "super" => {
                let mut full = module.clone();
                while let Some((first, others)) = rest.split_first()
                    && first == "super"
                {
                    full.pop()?;
                    rest = others;
                }
                full
            }
            child => {
                let mut full = module.clone();
                full.push(child.to_owned());
                if !self.0.contains_key(&full) {
                    return None;
                }
                module.clone()
            }
        };
        full.extend(rest.iter().cloned());
        while !self.0.contains_key(&full) {
            full.pop()?;
        }
        Some(full)
    }
}

/// The module that a file holds; nothing for an executable, which is a crate of its own.
fn module_of(path: &Path) -> Option<Module> {
    let stem = path.with_extension("");
    let mut module: Module = stem
        .iter()
        .map(|part| part.to_str().unwrap().to_owned())
        .collect();
    if module == ["main"] || module.first().is_some_and(|first| first == "bin") {
        return None;
    }
    if module == ["lib"] || module.last().is_some_and(|last| last == "mod") {
        module.pop();
    }
    Some(module)
}

/// The text without comments and the contents of literals, which could hold anything.
fn bare(text: &str) -> String {
    let mut bare = String::new();
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let end = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if let Some(raw) = raw_string(rest).filter(|_| !bare.ends_with(is_of_word)) {
            bare.push_str("\"\"");
            raw
        } else if next == '"' {
            bare.push_str("\"\"");
            1 + quoted(&rest[1..], '"')
        } else if let Some(end) = character(rest) {
            bare.push_str("' '");
            end
        } else {
            bare.push(next);
            next.len_utf8()
        };
        rest = &rest[end..];
    }
    bare
}

fn is_of_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Behind a block comment, which may hold others.
fn block_comment(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().unwrap().len_utf8();
        }
    }
    text.len()
}

/// Behind a raw string that begins here, if one does.
fn raw_string(text: &str) -> Option<usize> {
    let behind = text.strip_prefix('b').unwrap_or(text).strip_prefix('r')?;
    let content = behind.trim_start_matches('#');
    let hashes = behind.len() - content.len();
    let content = content.strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let len = content.find(&end).unwrap_or(content.len());
    Some((text.len() - content.len() + len + end.len()).min(text.len()))
}

/// Behind the quote that ends this.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, character) in text.char_indices() {
        if !escaped && character == quote {
            return at + 1;
        }
        escaped = !escaped && character == '\\';
    }
    text.len()
}

/// Behind a literal of one character that begins here, if one does: a lifetime has no second quote there.
fn character(text: &str) -> Option<usize> {
    let content = text.strip_prefix('\'')?;
    let first = content.chars().next()?;
    let closes = content[first.len_utf8()..].starts_with('\'');
    (first == '\\' || closes).then(|| 1 + quoted(content, '\''))
}

/// What is compiled without tests, and what is not.
fn without_tests(code: &str) -> (String, String) {
    const ATTRIBUTE: &str = "#[cfg(";
    let (mut rest, mut kept, mut tests) = (code, String::new(), String::new());
    while let Some(at) = rest.find(ATTRIBUTE) {
        let (before, attribute) = rest.split_at(at);
        kept.push_str(before);
        let condition = &attribute[ATTRIBUTE.len()..];
        if condition.starts_with("test)") || condition.starts_with("all(test") {
            let (of_tests, behind) = attribute.split_at(item(attribute));
            tests.push_str(of_tests);
            rest = behind;
        } else {
            kept.push_str(ATTRIBUTE);
            rest = condition;
        }
    }
    kept.push_str(rest);
    (kept, tests)
}

/// Behind the item that begins here with its attributes: behind its semicolon, or the brace that closes it.
fn item(code: &str) -> usize {
    let mut depth = 0_usize;
    for (at, character) in code.char_indices() {
        match character {
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 && character == '}' {
                    return at + 1;
                }
            }
            ';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

/// The modules that are declared in files of their own.
fn declared(code: &str) -> Vec<&str> {
    let words: Vec<&str> = code.split_whitespace().collect();
    let pairs = words.windows(2).filter(|pair| pair[0] == "mod");
    pairs.filter_map(|pair| pair[1].strip_suffix(';')).collect()
}

/// The paths of at least two parts.
fn paths(code: &str) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    let mut rest = code;
    let mut other = String::new();
    while let Some(at) = next_use(rest) {
        other.push_str(&rest[..at]);
        let tree = &rest[at + "use ".len()..];
        let end = tree.find(';').unwrap_or(tree.len());
        leaves(&[], &tree[..end], &mut paths);
        rest = &tree[end..];
    }
    other.push_str(rest);
    let other = without_visibility(&other);
    let words = other.split(|character| !(is_of_word(character) || character == ':' || character == '$'));
    let words = words.filter(|word| word.contains("::") && !word.starts_with('$'));
    paths.extend(words.map(|word| {
        let parts = word.split("::").filter(|part| !part.is_empty());
        parts.map(str::to_owned).collect::<Vec<_>>()
    }));
    paths.retain(|path| path.len() > 1);
    paths
}

/// Without `pub(in path)`: who may see an item is no import.
fn without_visibility(code: &str) -> String {
    let mut pieces = code.split("pub(in ");
    let mut kept = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        kept.push_str("pub");
        kept.push_str(piece.split_once(')').map_or("", |(_, behind)| behind));
    }
    kept
}

/// Where the next `use` stands.
fn next_use(code: &str) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + code[from..].find("use ")?;
        if !code[..at].ends_with(is_of_word) {
            return Some(at);
        }
        from = at + 1;
    }
}

/// The leaves of a tree of `use`.
fn leaves(above: &[String], tree: &str, paths: &mut Vec<Vec<String>>) {
    for branch in branches(tree) {
        let braces = branch
            .find('{')
            .map(|at| (at, branch.rfind('}').unwrap_or(branch.len())));
        let stem = match braces {
            Some((at, _)) => &branch[..at],
            None => branch.split(" as ").next().unwrap_or(branch),
        };
        let parts = stem.split("::").map(str::trim).filter(|part| !part.is_empty());
        let mut path = above.to_vec();
        path.extend(parts.map(str::to_owned));
        match braces {
            Some((at, end)) => leaves(&path, &branch[at + 1..end], paths),
            None => paths.push(path),
        }
    }
}

/// What stands between the commas that are in no braces.
fn branches(tree: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    let between = tree.split(|character| {
        match character {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        character == ',' && depth == 0
    });
    between
        .map(str::trim)
        .filter(|branch| !branch.is_empty())
        .collect()
}

/// Each circle of imports once, as far as one goes through a file that no other one was found through.
pub(crate) fn circles(imports: &BTreeMap<Module, BTreeSet<Module>>) -> Vec<String> {
    let mut through = BTreeSet::new();
    let mut circles = Vec::new();
    for start in imports.keys() {
        if through.contains(start) {
            continue;
        }
        if let Some(way) = way_back(imports, start) {
            through.extend(way.iter().copied());
            let names = way.iter().map(|module| match module.as_slice() {
                [] => "the root".to_owned(),
                module => module.join("::"),
            });
            circles.push(names.collect::<Vec<_>>().join(" -> "));
        }
    }
    circles
}

/// The shortest way from a file back to it.
fn way_back<'a>(
    imports: &'a BTreeMap<Module, BTreeSet<Module>>,
    start: &'a Module,
) -> Option<Vec<&'a Module>> {
    let mut ways = vec![vec![start]];
    let mut seen = BTreeSet::new();
    while !ways.is_empty() {
        let mut longer = Vec::new();
        for way in ways {
            for next in &imports[*way.last().unwrap()] {
                let mut way = way.clone();
                way.push(next);
                if next == start {
                    return Some(way);
                }
                if imports.contains_key(next) && seen.insert(next) {
                    longer.push(way);
                }
            }
        }
        ways = longer;
    }
    None
}

#[test]
fn a_circle_of_imports_is_found() {
    let found = |files: &[(&str, &str)]| {
        let files = files.iter().map(|(path, text)| (path.into(), (*text).to_owned()));
        circles(&Modules::new(files).imports())
    };
    let mut files = vec![
        ("a.rs", "use crate::b::c::Thing;\n// crate::a::d\n"),
        ("b/mod.rs", "mod c;\nmod d;\npub use c::Thing;\n"),
        ("b/c.rs", "use super::d::Other;\n"),
        ("b/d.rs", ""),
    ];
    assert_eq!(found(&files), Vec::<String>::new());
    for (text, circle) in [
        ("fn f() { crate::a::g() }", "a -> b::c -> b::d -> a"),
        ("use super::Thing;", "b -> b::c -> b::d -> b"),
        ("use crate::{a::{self, X}, e};", "a -> b::c -> b::d -> a"),
        (
            "use super::{\n    c::{Thing, Other as O},\n};",
            "b::c -> b::d -> b::c",
        ),
        ("fn f() -> super::super::a::X {}", "a -> b::c -> b::d -> a"),
        // Behind unit tests.
        (
            "#[cfg(test)]\nmod tests {\n    fn f() { '{' }\n}\n\nuse crate::a::X;",
            "a -> b::c -> b::d -> a",
        ),
        (
            "#[cfg(test)]\nuse crate::e::X;\nuse crate::a::X;",
            "a -> b::c -> b::d -> a",
        ),
        ("use crate::Root;", "the root -> a -> b::c -> b::d -> the root"),
    ] {
        files[3].1 = text;
        let mut files = files.clone();
        if text.contains("Root") {
            files.push(("lib.rs", "mod a;\nmod b;\npub use a::X;\npub struct Root;"));
        }
        assert_eq!(found(&files), [circle], "{text}");
    }
}

#[test]
fn what_tests_import_and_what_is_no_code_makes_no_circle() {
    for text in [
        "#[cfg(test)]\nmod tests {\n    use crate::a::X;\n}\n",
        "#[cfg(all(test, not(loom)))]\nmod tests {\n    fn f() { crate::a::g(\"}\") }\n}\nfn g() {}\n",
        "impl X {\n    #[cfg(test)]\n    pub(super) fn f(x: [u8; 2]) -> crate::a::X {\n        todo()\n    }\n}\n",
        "#[cfg(test)]\nuse crate::a::X;\n",
        "const A: &str = \"crate::a::X\";\n/* use crate::a::X; */\n",
        "const A: &str = r#\"\" use crate::a::X; \"#;\n",
        "const A: char = '\\'';\n// ' use crate::a::X;\n",
        "macro_rules! m { () => { $crate::a::f() } }",
        "use std::{a::X, b};\nfn f<'a>(x: &'a a::X) {}",
        "#[cfg(test)]\nmod fixture;\n",
        "pub(in crate::a) struct X { pub(in crate::a) x: u8 }",
    ] {
        let files = [
            ("a.rs", "use crate::b::X;"),
            ("b.rs", text),
            ("b/fixture.rs", "use crate::a::X;\nuse crate::b::X;"),
            ("main.rs", "use crate::a::X;"),
        ];
        // Of tests alone only where it is declared so.
        let files = files
            .iter()
            .filter(|(path, _)| text.contains("fixture") || !path.contains("fixture"));
        let files = files.map(|(path, text)| (path.into(), (*text).to_owned()));
        let found = circles(&Modules::new(files).imports());
        assert_eq!(found, Vec::<String>::new(), "{text}");
    }
}
