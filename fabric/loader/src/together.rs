//! What chains that one service serves must not have in common, and what they need together: `check`, `serve`
//! and `doctor` ask here, so they agree.

use super::file::{ChainFile, ChainFileError};
use super::gateway_memory::check_fit;
use super::given::Given;
use super::own_gateway::{Elsewhere, address_taken_twice};
use super::routes;
use hacher_chain_dsl::{Chain, Function, SystemCalls};
use hacher_trustlet_host::chosen::copy::CopyError;
use hacher_trustlet_host::chosen::files::bound_of_machine;
use hacher_trustlet_host::chosen::jail::programs_missing_here;
use hacher_trustlet_host::core::limits::{
    CHAINS_MAX, FILES_TOTAL_MAX, FILES_TOTAL_MAX_BYTES, INSTANCES_TOTAL_MAX,
};
use std::sync::OnceLock;

/// The first of these files whose chain cannot be served beside those before it, or by a service that listens
/// `elsewhere`, and why. Without that, nobody listens for one chain alone.
#[must_use]
pub fn first_conflict(
    files: &[&ChainFile],
    elsewhere: Option<&Elsewhere>,
) -> Option<(usize, ChainFileError)> {
    let name = name_taken_twice(files);
    let address = elsewhere.and_then(|elsewhere| address_taken_twice(files, elsewhere));
    let route = routes::taken_twice(files);
    let all = name.into_iter().chain(address).chain(route);
    all.min_by_key(|(at, _)| *at)
}

fn name_taken_twice(files: &[&ChainFile]) -> Option<(usize, ChainFileError)> {
    files.iter().enumerate().find_map(|(at, file)| {
        let name = file.chain().name();
        let first = files.iter().take(at).find(|other| other.chain().name() == name)?;
        let message = format!(
            "the chain `{name}` of `{}` has the name of that of `{}`; each chain of a service needs a name of its own",
            file.path().display(),
            first.path().display()
        );
        Some((at, ChainFileError::Together(message)))
    })
}

/// What this machine takes of the files of one function.
static FILES_HERE: OnceLock<Result<Option<u64>, &'static str>> = OnceLock::new();

fn files_here() -> Result<Option<u64>, &'static str> {
    *FILES_HERE.get_or_init(bound_of_machine)
}

/// Why functions have no programs of their own on this machine; `None` if they can.
static NO_PROGRAMS_HERE: OnceLock<Option<String>> = OnceLock::new();

fn no_programs_here() -> Option<&'static str> {
    NO_PROGRAMS_HERE.get_or_init(programs_missing_here).as_deref()
}

/// Finds out what this machine takes of files and programs, if these chains have any. To be called before any
/// is opened: trying isolation starts processes, which would close what is open, and a file system that does
/// not answer would keep them.
pub fn find_room_for_files<'a>(chains: impl IntoIterator<Item = &'a Chain>) {
    let functions: Vec<_> = chains.into_iter().flat_map(Chain::functions).collect();
    let has_files = |function: &&Function| {
        !function.files().is_empty() || function.interpreter().is_some() || function.guest().is_some()
    };
    if functions.iter().any(has_files) {
        let _ = files_here();
    }
    if functions.iter().any(|function| has_programs(function)) {
        let _ = no_programs_here();
    }
}

fn has_programs(function: &Function) -> bool {
    function.system_calls() == SystemCalls::Program
}

/// Whether this machine can isolate the programs that functions of these chains start.
///
/// # Errors
/// Says whose, and what is missing.
pub fn check_programs(chains: &[&Chain]) -> Result<(), String> {
    check_programs_where(chains, no_programs_here)
}

fn check_programs_where(
    chains: &[&Chain],
    missing: impl FnOnce() -> Option<&'static str>,
) -> Result<(), String> {
    let mut functions = chains.iter().flat_map(|chain| chain.functions());
    let Some(function) = functions.find(|function| has_programs(function)) else {
        return Ok(());
    };
    missing().map_or(Ok(()), |missing| {
        Err(format!("function `{}`: {missing}", function.name()))
    })
}

/// Whether this machine has room for the files of the functions of these chains, which were looked at.
///
/// # Errors
/// What does not fit, with the sum and the limit; or why a function can be given no files here.
pub fn check_files(files: &[&ChainFile]) -> Result<(), String> {
    check_files_within(files, files_here)
}

fn check_files_within(
    files: &[&ChainFile],
    bound: impl FnOnce() -> Result<Option<u64>, &'static str>,
) -> Result<(), String> {
    let functions = files.iter().flat_map(|file| {
        let functions = file.chain().functions_with_ids();
        functions.map(|(id, function)| (file.given(id), function.name()))
    });
    let given: Vec<_> = functions.filter(|(given, _)| given.entries > 0).collect();
    if given.is_empty() {
        return Ok(());
    }
    let entries = given.iter().map(|(given, _)| given.entries).sum::<usize>();
    let sum = |sum: u64, (given, _): &(Given, _)| sum.saturating_add(given.len_bytes);
    let len_bytes = given.iter().fold(0, sum);
    if entries > FILES_TOTAL_MAX || len_bytes > FILES_TOTAL_MAX_BYTES {
        return Err(format!(
            "the functions of a service have at most {FILES_TOTAL_MAX} files, folders and links of \
             {FILES_TOTAL_MAX_BYTES} bytes together, and these have {entries} of {len_bytes}"
        ));
    }
    let Some(max_bytes) = bound()? else {
        return Ok(());
    };
    match given.iter().find(|(given, _)| given.len_bytes > max_bytes) {
        None => Ok(()),
        Some((given, name)) => Err(format!(
            "the files of function `{name}` have {} bytes: {}",
            given.len_bytes,
            CopyError::Unshared { max_bytes }
        )),
    }
}

/// Whether the chains fit into one service, and the gateways that serve them have room for the largest
/// request and reply of each.
///
/// # Errors
/// What does not fit, with the sum and the limit.
pub fn check_sums(chains: &[&Chain]) -> Result<(), String> {
    if chains.len() > CHAINS_MAX {
        return Err(format!(
            "a service has at most {CHAINS_MAX} chains, and these are {}",
            chains.len()
        ));
    }
    // Each chain has one of the gateway besides.
    let functions = chains.iter().flat_map(|chain| chain.functions());
    let instances = functions
        .map(|function| u64::from(function.instances()))
        .sum::<u64>()
        + chains.len() as u64;
    if instances > INSTANCES_TOTAL_MAX as u64 {
        return Err(format!(
            "a service has at most {INSTANCES_TOTAL_MAX} instances, and these chains have {instances}, with one of the gateway for each"
        ));
    }
    let fits = |chains: &[&Chain]| check_fit(chains.iter().copied()).map_err(|error| error.to_string());
    let (own, shared): (Vec<&Chain>, Vec<&Chain>) = chains
        .iter()
        .partition(|chain| chain.ingress().listen().is_some());
    fits(&shared)?;
    own.iter().try_for_each(|chain| fits(&[*chain]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A chain of three functions, each of which is given a folder of six files of 1 GiB, with nothing in
    /// them.
    fn with_files(folder: &tempfile::TempDir) -> ChainFile {
        let data = folder.path().join("data");
        std::fs::create_dir(&data).unwrap();
        for name in 0..6 {
            let file = std::fs::File::create(data.join(name.to_string())).unwrap();
            file.set_len(1 << 30).unwrap();
        }
        let path = folder.path().join("chain.toml");
        let function = |name| format!("[function.{name}]\nexec = \"x\"\nfiles = [\"data\"]\n");
        let text = format!(
            "chain = \"c\"\nflow = [\"ingress -> a -> b -> d -> egress\"]\n{}{}{}",
            function("a"),
            function("b"),
            function("d")
        );
        std::fs::write(&path, text).unwrap();
        let file = ChainFile::read(&path).unwrap();
        // There are no executables, which does not matter here.
        assert!(file.open_functions().is_err());
        file
    }

    #[test]
    fn files_that_a_service_or_this_machine_has_no_room_for_are_refused_with_their_sum() {
        let folder = tempfile::tempdir().unwrap();
        let file = with_files(&folder);
        let past = check_files_within(&[&file], || Ok(None)).unwrap_err();
        assert!(past.contains("and these have 21 of 19327352832"), "{past}");
        std::fs::remove_file(folder.path().join("data/0")).unwrap();
        assert!(file.open_functions().is_err());
        assert_eq!(check_files_within(&[&file], || Ok(None)), Ok(()));
        let past = check_files_within(&[&file], || Ok(Some(64 << 20))).unwrap_err();
        assert!(
            past.contains("function `a`") && past.contains("at most 67108864 bytes"),
            "{past}"
        );
        assert_eq!(
            check_files_within(&[&file], || Err("no place")),
            Err("no place".to_owned())
        );
    }

    #[test]
    fn programs_are_refused_where_they_cannot_be_isolated() {
        let check = |more: &str| {
            let text = format!(
                "chain = \"c\"\nflow = [\"ingress -> a -> egress\"]\n[function.a]\nexec = \"x\"\n{more}"
            );
            let checked = hacher_chain_dsl::check(&text, "f").unwrap();
            check_programs_where(&[checked.chain()], || Some("there is no seccomp"))
        };
        assert_eq!(check(""), Ok(()));
        let refused = check("syscalls = \"program\"\n").unwrap_err();
        assert_eq!(refused, "function `a`: there is no seccomp");
    }

    #[test]
    fn who_has_no_files_needs_no_place_for_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chain.toml");
        std::fs::write(
            &path,
            "chain = \"c\"\nflow = [\"ingress -> a -> egress\"]\n[function.a]\nexec = \"x\"\n",
        )
        .unwrap();
        let file = ChainFile::read(&path).unwrap();
        assert_eq!(check_files_within(&[&file], || Err("no place")), Ok(()));
    }
}
