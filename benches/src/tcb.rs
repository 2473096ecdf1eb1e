//! `tcb`: how large the trusted base is.

use hacher_fabric::cli::{Format, TcbArgs};
use hacher_fabric::command::{complain, print, print_json};
use hacher_fabric::companion::Companion;
use hacher_fabric::failed::Failed;
use hacher_fabric::table::{Align, Table, bytes};
use hacher_trusted_base::component::{Calls, Component, Part};
use hacher_trusted_base::linked::{Lines, LinkedLines};
use hacher_trusted_base::origin::Owner;
use hacher_trusted_base::stock::{COUNTED_WITH, KERNEL, STOCK, TOGETHER};
use hacher_trustlet_host::chosen::seccomp::call_name;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Crates of each executable that are named unless all are asked for.
const SHOWN: usize = 6;

/// Counts the executables, and prints what each consists of.
///
/// # Errors
/// When one cannot be counted, or nothing can be printed.
pub fn tcb(arguments: &TcbArgs) -> Result<(), Failed> {
    let folder = match &arguments.folder {
        Some(folder) => folder.clone(),
        None => own_folder()?,
    };
    let product = [Companion::Monitor, Companion::Gateway, Companion::Fabric];
    let mut components = Vec::new();
    for companion in product {
        let path = folder.join(companion.name());
        if path.exists() {
            components.push(counted(&path)?);
        } else if companion == Companion::Fabric {
            return Err(Failed::new(format!("there is no {}", path.display())));
        } else {
            complain(&format!(
                "{} is not there and not counted: `cargo build -p {} --bins` builds it\n",
                path.display(),
                companion.package()
            ))?;
        }
    }
    for path in &arguments.files {
        components.push(counted(path)?);
    }
    if arguments.format.format == Format::Json {
        return print_json(&data(&components));
    }
    print(&human(&components, arguments.all))
}

fn own_folder() -> Result<PathBuf, Failed> {
    let this = std::env::current_exe()?;
    let folder = this.parent().map(Path::to_owned);
    folder.ok_or_else(|| Failed::new("this executable is in no folder"))
}

fn counted(path: &Path) -> Result<Component, Failed> {
    Component::read(path).map_err(|error| Failed::new(format!("cannot count {}: {error}", path.display())))
}

/// What has plaintext and keys, in one way to run it.
struct Base<'a> {
    /// The way, in words.
    way: &'static str,
    parts: Vec<&'a Component>,
    /// Whether the guest's kernel has to be trusted besides.
    and_the_kernel: bool,
}

impl<'a> Base<'a> {
    /// Those ways whose parts are all there.
    fn all(components: &'a [Component]) -> Vec<Self> {
        let ways = [
            ("processes in a confidential VM", Part::Monitor, true),
            (
                "a monitor at VMPL0, where the gateway does not run yet",
                Part::BootedMonitor,
                false,
            ),
        ];
        let find = |part| components.iter().find(|component| component.part == part);
        let ways = ways.into_iter().filter_map(|(way, monitor, and_the_kernel)| {
            let parts = [monitor, Part::Gateway, Part::Function].map(find);
            let parts = parts.into_iter().collect::<Option<Vec<_>>>()?;
            Some(Self {
                way,
                parts,
                and_the_kernel,
            })
        });
        ways.collect()
    }

    /// What two of the parts have counts once.
    fn lines(&self) -> Lines {
        let parts: Vec<&LinkedLines> = self.parts.iter().map(|part| &part.lines).collect();
        let mut lines = LinkedLines::union(&parts);
        if self.and_the_kernel {
            lines += KERNEL;
        }
        lines
    }

    fn names(&self) -> Vec<&str> {
        let kernel = self.and_the_kernel.then_some("the kernel");
        self.parts
            .iter()
            .map(|part| part.name.as_str())
            .chain(kernel)
            .collect()
    }

    /// How many times smaller than the stock components it is, in tenths; with assembly, and without.
    fn times_smaller_tenths(&self) -> (u64, u64) {
        let lines = self.lines();
        (
            TOGETHER.all * 10 / lines.all.max(1),
            TOGETHER.without_assembly() * 10 / lines.without_assembly().max(1),
        )
    }
}

fn data(components: &[Component]) -> Value {
    let stock: Vec<Value> = STOCK
        .iter()
        .map(|stock| {
            json!({
                "name": stock.name, "package": stock.package, "kind": stock.kind.words(),
                "lines": stock.lines.all, "assembly": stock.lines.assembly, "loaded_bytes": stock.loaded_bytes,
            })
        })
        .collect();
    let bases = Base::all(components);
    let bases: Vec<Value> = bases
        .iter()
        .map(|base| {
            let (lines, (tenths, without)) = (base.lines(), base.times_smaller_tenths());
            json!({
                "way": base.way, "parts": base.names(), "lines": lines.all, "assembly": lines.assembly,
                "times_smaller_tenths": tenths, "times_smaller_tenths_without_assembly": without,
            })
        })
        .collect();
    json!({
        "executables": components.iter().map(component_data).collect::<Vec<_>>(),
        "stock": {
            "counted_with": COUNTED_WITH, "components": stock,
            "lines": TOGETHER.all, "assembly": TOGETHER.assembly,
        },
        "trusted_bases": bases,
    })
}

fn component_data(component: &Component) -> Value {
    let owners = component.by_owner();
    let of = |owner| owners.get(&owner).map_or(0, |lines| lines.all);
    let lines = component.lines.total();
    let calls = match &component.calls {
        Calls::Filtered(calls) => calls
            .iter()
            .map(|call| json!({ "name": name_of(call.number), "conditional": call.conditional }))
            .collect(),
        Calls::NoKernel => Value::Array(Vec::new()),
        Calls::Unfiltered | Calls::Unknown => Value::Null,
    };
    let by_crate = component.lines.by_crate.iter();
    let by_crate: serde_json::Map<_, _> = by_crate
        .map(|(of, lines)| (of.name.clone(), json!(lines.all)))
        .collect();
    json!({
        "name": component.name, "part": component.part.words(),
        "lines": lines.all, "assembly": lines.assembly, "loaded_bytes": component.loaded_bytes, "crates": component.crates(),
        "lines_by_owner": {
            "own": of(Owner::Own), "dependencies": of(Owner::Dependency), "rust": of(Owner::Rust), "other": of(Owner::Other),
        },
        "lines_by_crate": by_crate,
        "system_calls": calls,
    })
}

fn name_of(number: i64) -> String {
    call_name(number.cast_unsigned()).map_or_else(|| number.to_string(), str::to_owned)
}

fn human(components: &[Component], all: bool) -> String {
    let mut text = "Source lines that have code in each executable:\n\n".to_owned();
    text.push_str(&overview(components).render());
    for component in components {
        let crates = component.largest_first();
        let shown = if all { crates.len() } else { SHOWN };
        let named: Vec<String> = crates
            .iter()
            .take(shown)
            .map(|(of, lines)| format!("{} {}", of.name, grouped(lines.all)))
            .collect();
        let rest: u64 = crates.iter().skip(shown).map(|(_, lines)| lines.all).sum();
        let rest = match crates.len().saturating_sub(shown) {
            0 => String::new(),
            more => format!(", {more} more {}", grouped(rest)),
        };
        let _ = writeln!(text, "\n{}: {}{rest}", component.name, named.join(", "));
    }
    let _ = writeln!(
        text,
        "\nWhat distributions ship, counted likewise ({COUNTED_WITH}):\n"
    );
    text.push_str(&stock_table().render());
    let _ = writeln!(text);
    for base in Base::all(components) {
        let (lines, (tenths, without)) = (base.lines(), base.times_smaller_tenths());
        let _ = writeln!(
            text,
            "Trusted with {}: {}\n  {} lines, {}.{} times smaller than what distributions ship together; \
             without assembly {} lines, {}.{} times smaller",
            base.way,
            base.names().join(" + "),
            grouped(lines.all),
            tenths / 10,
            tenths % 10,
            grouped(lines.without_assembly()),
            without / 10,
            without % 10
        );
    }
    text
}

fn overview(components: &[Component]) -> Table {
    let mut table = Table::new(&[
        ("executable", Align::Left),
        ("part", Align::Left),
        ("lines", Align::Right),
        ("own", Align::Right),
        ("others'", Align::Right),
        ("Rust's", Align::Right),
        ("no crate's", Align::Right),
        ("assembly", Align::Right),
        ("crates", Align::Right),
        ("loaded", Align::Right),
        ("system calls", Align::Right),
    ]);
    for component in components {
        let owners = component.by_owner();
        let of = |owner| grouped(owners.get(&owner).map_or(0, |lines| lines.all));
        let lines = component.lines.total();
        table.row([
            component.name.clone(),
            component.part.words().to_owned(),
            grouped(lines.all),
            of(Owner::Own),
            of(Owner::Dependency),
            of(Owner::Rust),
            of(Owner::Other),
            grouped(lines.assembly),
            component.crates().to_string(),
            bytes(component.loaded_bytes),
            match &component.calls {
                Calls::Filtered(calls) => calls.len().to_string(),
                Calls::Unfiltered => "any".to_owned(),
                Calls::NoKernel => "none".to_owned(),
                Calls::Unknown => "?".to_owned(),
            },
        ]);
    }
    table
}

fn stock_table() -> Table {
    let mut table = Table::new(&[
        ("program", Align::Left),
        ("is", Align::Left),
        ("lines", Align::Right),
        ("assembly", Align::Right),
        ("loaded", Align::Right),
        ("package", Align::Left),
    ]);
    for stock in STOCK {
        table.row([
            stock.name.to_owned(),
            stock.kind.words().to_owned(),
            grouped(stock.lines.all),
            grouped(stock.lines.assembly),
            bytes(stock.loaded_bytes),
            stock.package.to_owned(),
        ]);
    }
    table.row([
        "together",
        "",
        &grouped(TOGETHER.all),
        &grouped(TOGETHER.assembly),
    ]);
    table
}

/// A number with its thousands apart.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_apart() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_000), "1,000");
        assert_eq!(grouped(1_234_567), "1,234,567");
    }
}
