//! The executable before programs that know nothing of chains: `hacher-adaptor`, where it lies beside this
//! one.

use crate::companion::Companion;
use hacher_loader::file::{AdaptorFile, ChainFile};

/// The same chain file, with the adaptor if functions of the chain need it. `builds`: whether cargo is to
/// build it first, in a source tree.
#[must_use]
pub fn with_adaptor(file: ChainFile, builds: bool) -> ChainFile {
    if !file.needs_adaptor() {
        return file;
    }
    let found = match builds {
        true => Companion::Adaptor.built_in_tree(Companion::Fabric),
        false => Companion::Adaptor.beside(Companion::Fabric),
    };
    let adaptor = match found {
        Ok(Some(found)) => Ok(AdaptorFile {
            path: found.path,
            file: found.file,
        }),
        Ok(None) => Err("it is not installed beside this executable".to_owned()),
        Err(error) => Err(error.to_string()),
    };
    file.with_adaptor(adaptor)
}
