//! A generated chain as a chain file.

use super::{Block, GeneratedChain};
use fastrand::Rng;
use std::fmt::Write as _;
use std::path::Path;

/// What leaves a block: alternatives, each of one source, or of several that are waited for together.
type Exits = Vec<Vec<String>>;

impl GeneratedChain {
    /// The chain file, whose functions run `exec`.
    #[must_use]
    pub fn text(&self, exec: &Path) -> String {
        let mut flow = Flow {
            chain: self,
            lines: Vec::new(),
            edges: Vec::new(),
        };
        let exits = flow.series(&self.series, vec![vec!["ingress".to_owned()]]);
        flow.hand_over(&exits, &["egress".to_owned()]);
        let protection = if self.is_mapped { "mapped" } else { "sealed" };
        let mut text = format!(
            "chain = \"{}\"\nversion = \"1\"\nplacement = \"{}\"\nprotection = \"{protection}\"\nflow = [\n",
            self.name, self.placement
        );
        for line in &flow.lines {
            let _ = writeln!(text, "  \"{line}\",");
        }
        // Generous: what is tested is what is answered, on a machine that may be busy.
        text.push_str(
            "]\n[ingress]\ndeadline = \"120s\"\nmax_body = \"2MiB\"\n[defaults]\ntimeout = \"60s\"\n",
        );
        self.tables_of_edges(&flow.edges, &mut text);
        self.tables_of_functions(exec, &mut text);
        text
    }

    fn tables_of_edges(&self, edges: &[String], text: &mut String) {
        let mut random = Rng::with_seed(self.edge_seed);
        for edge in edges {
            let own = match random.u8(..6) {
                0 => "sealed",
                1 => "mapped",
                _ => continue,
            };
            let _ = writeln!(text, "[edge.\"{edge}\"]\nprotection = \"{own}\"");
        }
    }

    fn tables_of_functions(&self, exec: &Path, text: &mut String) {
        for function in &self.functions {
            let modelled = &function.modelled;
            let environment: Vec<String> = modelled
                .environment()
                .iter()
                .map(|(name, value)| format!("{name} = \"{value}\""))
                .collect();
            let _ = writeln!(
                text,
                "[function.{}]\nexec = \"{}\"\nenv = {{ {} }}\ninstances = {}\noutbox = \"{}MiB\"\n\
                 retry = {{ attempts = {}, backoff = \"1ms\", max = \"50ms\" }}",
                modelled.name,
                exec.display(),
                environment.join(", "),
                function.instances,
                function.outbox_mib,
                function.attempts,
            );
            if !modelled.ports.is_empty() {
                let _ = writeln!(text, "ports = {:?}", modelled.ports);
            }
        }
    }
}

/// The lines of `flow`, and the edges that they make.
struct Flow<'a> {
    chain: &'a GeneratedChain,
    lines: Vec<String>,
    edges: Vec<String>,
}

impl Flow<'_> {
    fn name(&self, function: usize) -> String {
        self.chain
            .functions
            .get(function)
            .map(|function| function.modelled.name.clone())
            .unwrap_or_default()
    }

    /// Writes what follows `exits`, up to what leaves the last block.
    fn series(&mut self, blocks: &[Block], mut exits: Exits) -> Exits {
        for block in blocks {
            let entries = self.entries(block);
            self.hand_over(&exits, &entries);
            exits = self.inside(block);
        }
        exits
    }

    fn hand_over(&mut self, exits: &Exits, entries: &[String]) {
        let targets = entries.join(" & ");
        if exits.iter().all(|group| group.len() == 1) {
            let sources: Vec<String> = exits.iter().flatten().cloned().collect();
            self.lines.push(format!("{} -> {targets}", sources.join(" | ")));
        } else {
            for group in exits {
                self.lines.push(format!("{} -> {targets}", group.join(" & ")));
            }
        }
        for source in exits.iter().flatten() {
            self.edges
                .extend(entries.iter().map(|target| format!("{source} -> {target}")));
        }
    }

    /// The functions that get what is handed to a block.
    fn entries(&self, block: &Block) -> Vec<String> {
        match block {
            Block::Plain(function) | Block::Guarded { function, .. } => vec![self.name(*function)],
            Block::Choice { chooser, .. } => vec![self.name(*chooser)],
            Block::Parallel(branches) | Block::Race(branches) => branches
                .iter()
                .filter_map(|branch| branch.first())
                .flat_map(|first| self.entries(first))
                .collect(),
        }
    }

    /// Writes what lies behind a block's entries.
    fn inside(&mut self, block: &Block) -> Exits {
        match block {
            Block::Plain(function) => vec![vec![self.name(*function)]],
            Block::Guarded { function, handler } => {
                let (name, error) = (self.name(*function), format!("{}.error", self.name(*function)));
                let Some(handler) = handler else {
                    return vec![vec![name], vec![error]];
                };
                let handler = self.name(*handler);
                self.hand_over(&vec![vec![error]], std::slice::from_ref(&handler));
                vec![vec![name], vec![handler]]
            }
            Block::Parallel(branches) => vec![self.branches(branches).into_iter().flatten().collect()],
            Block::Race(branches) => self.branches(branches),
            Block::Choice { chooser, branches } => {
                let ports = self.chain.functions.get(*chooser);
                let ports = ports.map(|function| function.modelled.ports.clone());
                let ports = ports.unwrap_or_default();
                let name = self.name(*chooser);
                let ways = ports.iter().zip(branches);
                ways.flat_map(|(port, branch)| self.series(branch, vec![vec![format!("{name}.{port}")]]))
                    .collect()
            }
        }
    }

    /// What leaves each of the branches whose first blocks have been handed to.
    fn branches(&mut self, branches: &[Vec<Block>]) -> Exits {
        let mut exits = Vec::new();
        for branch in branches {
            if let Some((first, rest)) = branch.split_first() {
                let after = self.inside(first);
                exits.extend(self.series(rest, after));
            }
        }
        exits
    }
}
