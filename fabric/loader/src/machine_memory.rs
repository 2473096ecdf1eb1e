//! The memory of all functions together, against what this machine has: each may take what its author wrote,
//! and nobody stops them from doing so at the same time.

use super::file::ChainFile;
use super::share;
use hacher_chain_dsl::{ByteSize, Code, Diagnostic, FunctionId, SystemCalls};
use hacher_libos_net::share::fabric_bytes;
use hacher_trustlet_host::chosen::headroom::machine_memory;

/// What a function's instances may take together: their memory, with what the fabric needs beside it, their
/// outboxes, and once the copies of its files, as far as these were looked at.
fn bytes_of_function(file: &ChainFile, id: FunctionId) -> u64 {
    let chain = file.chain();
    let Some(function) = chain.function(id) else {
        return 0;
    };
    let process = function
        .memory()
        .bytes()
        .saturating_add(fabric_bytes(share::of_function(chain, id)));
    // A limit of the kernel is one process's, and the programs of a function are processes.
    let processes = match function.system_calls() {
        SystemCalls::Native => 1,
        SystemCalls::Program => u64::from(function.threads()),
    };
    let one = process
        .saturating_mul(processes)
        .saturating_add(function.outbox().bytes());
    one.saturating_mul(u64::from(function.instances()))
        .saturating_add(file.given(id).len_bytes)
}

/// A warning, if the functions of these chains may take more than the machine has; and the place of the chain
/// that takes most.
#[must_use]
pub fn past_machine(files: &[&ChainFile]) -> Option<(usize, Diagnostic)> {
    past(files, machine_memory()?)
}

fn past(files: &[&ChainFile], (machine_bytes, limited_by): (u64, String)) -> Option<(usize, Diagnostic)> {
    let functions = files.iter().enumerate().flat_map(|(at, file)| {
        let bytes = move |(id, _)| (bytes_of_function(file, id), at, id);
        file.chain().functions_with_ids().map(bytes)
    });
    let functions: Vec<_> = functions.collect();
    let sum = functions
        .iter()
        .fold(0_u64, |sum, (bytes, ..)| sum.saturating_add(*bytes));
    if sum <= machine_bytes {
        return None;
    }
    let &(most, at, id) = functions.iter().max_by_key(|(bytes, ..)| *bytes)?;
    let file = files.get(at)?;
    let function = file.chain().function(id)?;
    let size = |bytes: u64| ByteSize::new(bytes >> 20 << 20);
    let whose = match files {
        [_] => "the functions of this chain".to_owned(),
        files => format!("the functions of these {} chains", files.len()),
    };
    let message = format!(
        "{whose} may take {} of memory together, and {limited_by} has {}",
        size(sum),
        size(machine_bytes)
    );
    let label = format!(
        "takes most: {} for {} instance{}, with outboxes, files and what the fabric needs",
        size(most),
        function.instances(),
        if function.instances() == 1 { "" } else { "s" }
    );
    let span = file.checked().exec_span(id).unwrap_or_default();
    let diagnostic = Diagnostic::new(Code::MemoryPastMachine, span, message, label);
    Some((
        at,
        diagnostic.with_help("lower `memory`, `outbox` or `instances`, or serve fewer chains here"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(folder: &tempfile::TempDir, instances: u32) -> ChainFile {
        let path = folder.path().join(format!("{instances}.toml"));
        let text = format!(
            "chain = \"c{instances}\"\nflow = [\"ingress -> a -> egress\"]\n[ingress]\nmax_body = \"1MiB\"\n\
             [function.a]\nexec = \"x\"\nmemory = \"1GiB\"\noutbox = \"64MiB\"\ninstances = {instances}\n"
        );
        std::fs::write(&path, text).unwrap();
        ChainFile::read(&path).unwrap()
    }

    #[test]
    fn files_count_once_for_all_instances() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::File::create(folder.path().join("model"))
            .unwrap()
            .set_len(1 << 30)
            .unwrap();
        let path = folder.path().join("chain.toml");
        let text = "chain = \"c\"\nflow = [\"ingress -> a -> egress\"]\n[ingress]\nmax_body = \"1MiB\"\n\
                    [function.a]\nexec = \"x\"\nfiles = [\"model\"]\ninstances = 2\n";
        std::fs::write(&path, text).unwrap();
        let file = ChainFile::read(&path).unwrap();
        let (id, _) = file.chain().function_named("a").unwrap();
        let before = bytes_of_function(&file, id);
        // There is no executable, which does not matter here.
        assert!(file.open_functions().is_err());
        assert_eq!(bytes_of_function(&file, id), before + (1 << 30));
    }

    #[test]
    fn functions_that_may_take_more_than_there_is_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let (small, large) = (file(&folder, 1), file(&folder, 3));
        let machine = || (4 << 30, "this machine".to_owned());
        assert!(past(&[&small], machine()).is_none());
        assert!(past(&[&large], machine()).is_none());
        let (at, warning) = past(&[&small, &large], machine()).unwrap();
        assert_eq!((at, warning.code()), (1, Code::MemoryPastMachine));
        let text = large.warnings().with_more([warning]).render(false);
        for words in ["W0606", "these 2 chains", "this machine has 4GiB", "3 instances"] {
            assert!(text.contains(words), "{text}");
        }
    }
}
