//! A chain as a picture: Mermaid for pages, DOT for Graphviz.
//!
//! Functions are boxes, ingress and egress are round, a join is a small circle with `&` that all its
//! members lead to. An edge bears the name of its port unless that is `out`; failures are dotted, streams are
//! thick.

use std::fmt::Write as _;

use crate::chain::{Chain, Edge, Group, Source, Target};
use crate::function::PortId;
use crate::keys;

/// One arrow of a picture.
struct Arrow {
    from: String,
    to: String,
    label: Option<String>,
    failure: bool,
    streams: bool,
}

impl Chain {
    /// The chain as a Mermaid flowchart.
    #[must_use]
    pub fn mermaid(&self) -> String {
        let mut out = format!(
            "---\ntitle: \"{} {}\"\n---\nflowchart LR\n",
            self.name, self.version
        );
        out.push_str("  ingress([\"ingress\"])\n");
        for (id, function) in self.functions_with_ids() {
            _ = writeln!(out, "  f{}[\"{}\"]", id.index(), function.name);
        }
        out.push_str("  egress([\"egress\"])\n");
        for join in self.joins() {
            _ = writeln!(out, "  {join}((\"&amp;\"))");
        }
        for Arrow {
            from,
            to,
            label,
            failure,
            streams,
        } in self.arrows()
        {
            let line = match (failure, streams) {
                (true, _) => "-.->",
                (false, true) => "==>",
                (false, false) => "-->",
            };
            let label = label.map(|label| format!("|\"{label}\"|")).unwrap_or_default();
            _ = writeln!(out, "  {from} {line}{label} {to}");
        }
        out
    }

    /// The chain as a DOT digraph.
    #[must_use]
    pub fn dot(&self) -> String {
        let mut title = format!("{} {}", self.name, self.version);
        if let Some(description) = &self.description {
            title = format!("{title}\n{description}");
        }
        let mut out = format!("digraph {} {{\n", dot_string(&self.name));
        _ = writeln!(
            out,
            "  label={};\n  rankdir=LR;\n  node [shape=box];",
            dot_string(&title)
        );
        out.push_str("  ingress [shape=oval];\n");
        for (id, function) in self.functions_with_ids() {
            _ = writeln!(out, "  f{} [label={}];", id.index(), dot_string(&function.name));
        }
        out.push_str("  egress [shape=oval];\n");
        for join in self.joins() {
            _ = writeln!(out, "  {join} [shape=circle, label=\"&\"];");
        }
        for Arrow {
            from,
            to,
            label,
            failure,
            streams,
        } in self.arrows()
        {
            let mut attributes = Vec::new();
            attributes.extend(label.map(|label| format!("label={}", dot_string(&label))));
            attributes.extend(failure.then(|| "style=dotted".to_owned()));
            attributes.extend((streams && !failure).then(|| "style=bold".to_owned()));
            let attributes = match attributes.is_empty() {
                true => String::new(),
                false => format!(" [{}]", attributes.join(", ")),
            };
            _ = writeln!(out, "  {from} -> {to}{attributes};");
        }
        out.push_str("}\n");
        out
    }

    /// The names of the join circles.
    fn joins(&self) -> impl Iterator<Item = String> {
        (0..)
            .zip(&self.groups)
            .filter(|(_, group)| group.is_join())
            .map(|(index, _)| join_name(index))
    }

    fn arrows(&self) -> Vec<Arrow> {
        let mut arrows = Vec::new();
        for (index, group) in (0..).zip(&self.groups) {
            let edges = group.edges.iter().filter_map(|id| self.edge(*id));
            if group.is_join() {
                arrows.extend(edges.map(|edge| self.arrow(edge, join_name(index))));
                arrows.push(Arrow {
                    from: join_name(index),
                    to: target(group),
                    label: None,
                    failure: false,
                    streams: false,
                });
            } else {
                arrows.extend(edges.map(|edge| self.arrow(edge, target(group))));
            }
        }
        arrows
    }

    fn arrow(&self, edge: &Edge, to: String) -> Arrow {
        match edge.from {
            Source::Ingress => Arrow {
                from: "ingress".to_owned(),
                to,
                label: None,
                failure: false,
                streams: self.streams(edge),
            },
            Source::Function(id, port) => {
                let name = self.function(id).and_then(|function| function.port_name(port));
                let label = name.filter(|name| *name != keys::DEFAULT_PORT).map(str::to_owned);
                Arrow {
                    from: format!("f{}", id.index()),
                    to,
                    label,
                    failure: port == PortId::ERROR,
                    streams: self.streams(edge),
                }
            }
        }
    }
}

fn join_name(group: usize) -> String {
    format!("j{group}")
}

fn target(group: &Group) -> String {
    match group.to {
        Target::Egress => "egress".to_owned(),
        Target::Function(id) => format!("f{}", id.index()),
    }
}

/// A DOT string in quotes. Graphviz reads escapes such as `\N` in labels, so backslashes are doubled.
fn dot_string(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use crate::check;

    const CHAIN: &str = r#"
chain = "thumbs"
version = "1.2.0"
description = 'says "hi" \N'
flow = ["ingress -> a -> b & c -> end -> egress", "a.error -> egress", "a.reject -> egress"]
[function.a]
exec = "a"
ports = ["out", "reject"]
[function.b]
exec = "b"
[function.c]
exec = "c"
[function.end]
exec = "end"
"#;

    #[test]
    fn mermaid_shows_ports_joins_and_failures() {
        let drawn = check(CHAIN, "f").unwrap().chain().mermaid();
        let expected = r#"---
title: "thumbs 1.2.0"
---
flowchart LR
  ingress(["ingress"])
  f0["a"]
  f1["b"]
  f2["c"]
  f3["end"]
  egress(["egress"])
  j3(("&amp;"))
  ingress --> f0
  f0 --> f1
  f0 --> f2
  f1 --> j3
  f2 --> j3
  j3 --> f3
  f3 --> egress
  f0 -.->|"error"| egress
  f0 -->|"reject"| egress
"#;
        assert_eq!(drawn, expected);
    }

    #[test]
    fn dot_escapes_what_the_file_says() {
        let drawn = check(CHAIN, "f").unwrap().chain().dot();
        let expected = r#"digraph "thumbs" {
  label="thumbs 1.2.0\nsays \"hi\" \\N";
  rankdir=LR;
  node [shape=box];
  ingress [shape=oval];
  f0 [label="a"];
  f1 [label="b"];
  f2 [label="c"];
  f3 [label="end"];
  egress [shape=oval];
  j3 [shape=circle, label="&"];
  ingress -> f0;
  f0 -> f1;
  f0 -> f2;
  f1 -> j3;
  f2 -> j3;
  j3 -> f3;
  f3 -> egress;
  f0 -> egress [label="error", style=dotted];
  f0 -> egress [label="reject"];
}
"#;
        assert_eq!(drawn, expected);
    }
}
