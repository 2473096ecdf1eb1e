//! `graph` and `schema`: a chain as a drawing, and the language as a schema.

use super::{Failed, print, print_json, read_chain};
use crate::cli::{Format, GraphArgs, GraphLanguage};

/// Prints the drawing of a chain.
///
/// # Errors
/// When the chain file has an error.
pub fn graph(arguments: &GraphArgs) -> Result<(), Failed> {
    let file = read_chain(&arguments.chain, Format::Human)?;
    let drawing = match arguments.to {
        GraphLanguage::Mermaid => file.chain().mermaid(),
        GraphLanguage::Dot => file.chain().dot(),
    };
    print(&drawing)
}

/// Prints the JSON Schema of chain files.
///
/// # Errors
/// When it cannot be written.
pub fn schema() -> Result<(), Failed> {
    print_json(&hacher_chain_dsl::schema())
}
