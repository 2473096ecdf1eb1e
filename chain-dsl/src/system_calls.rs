//! Which system calls a function has: read, and checked against its other values.

use crate::code::Code;
use crate::diagnostic::{Diagnostic, Problems};
use crate::function::{Limits, SystemCalls};
use crate::keys;
use crate::program::Program;
use crate::program_tree::ProgramTree;
use crate::section::Section;
use crate::source::{Span, Spanned};

/// What a function says of them.
#[derive(Default)]
pub(crate) struct SystemCallsTree {
    profile: Option<Spanned<SystemCalls>>,
    jit: Option<Spanned<bool>>,
    /// Where a program stands that the function starts whatever else it says.
    guest: Option<Span>,
}

impl SystemCallsTree {
    /// Reads it out of the table of a function.
    pub(crate) fn read(
        section: &Section<'_>,
        program: Option<&ProgramTree>,
        problems: &mut Problems,
    ) -> Self {
        let profile = section.choice(&keys::SYSCALLS, problems);
        let profile = profile.and_then(SystemCalls::parse).and_then(|profile| {
            let entry = section.entry(keys::SYSCALLS.name)?;
            Some(Spanned::new(profile, entry.span()))
        });
        let jit = section.flag(&keys::JIT, problems).and_then(|jit| {
            let entry = section.entry(keys::JIT.name)?;
            Some(Spanned::new(jit, entry.key_span))
        });
        let guest = program.filter(|tree| matches!(tree.program, Program::Guest(_)));
        let guest = guest.map(|tree| tree.span);
        Self { profile, jit, guest }
    }

    pub(crate) fn profile(&self) -> SystemCalls {
        let otherwise = match self.guest {
            Some(_) => SystemCalls::Program,
            None => SystemCalls::default(),
        };
        self.profile.as_ref().map_or(otherwise, |profile| profile.value)
    }

    pub(crate) fn jit(&self) -> bool {
        self.jit.as_ref().map_or(keys::JIT.kind.default, |jit| jit.value)
    }

    /// Refuses what could not be honoured together in the function `name`.
    pub(crate) fn check(&self, name: &str, limits: &Limits, problems: &mut Problems) {
        let is_program = self.profile() == SystemCalls::Program;
        if let Some(jit) = self.jit.as_ref().filter(|jit| jit.value && !is_program) {
            let message = "`jit` is for functions with `syscalls = \"program\"`";
            let label = "a `native` function makes no code while it runs";
            let diagnostic = Diagnostic::new(Code::Contradiction, jit.span, message, label)
                .with_expected("syscalls = \"program\", or no `jit`")
                .with_help(format!(
                    "add syscalls = \"program\" to [function.{name}], or remove `jit`"
                ));
            problems.push(match &self.profile {
                Some(profile) => diagnostic.with_related(profile.span, "it is `native` here"),
                None => diagnostic,
            });
        }
        if let (Some(guest), Some(profile), false) = (self.guest, &self.profile, is_program) {
            let message =
                format!("`{name}` starts a program, and has the system calls of a `native` function");
            let label = "it could not start it";
            problems.push(
                Diagnostic::new(Code::Contradiction, profile.span, message, label)
                    .with_related(guest, "the program")
                    .with_expected("syscalls = \"program\"")
                    .with_help(format!("remove `syscalls` from [function.{name}]")),
            );
        }
        let span = self.profile.as_ref().map(|profile| profile.span).or(self.guest);
        if let Some(span) = span.filter(|_| is_program && limits.threads < 2) {
            let message = format!(
                "`{name}` may start programs, and `threads` is {}, which leaves room for none",
                limits.threads
            );
            problems.push(
                Diagnostic::new(
                    Code::Contradiction,
                    span,
                    message,
                    "each program is one thread at least",
                )
                .with_expected("threads = 2 or more")
                .with_help(format!(
                    "set threads = {} in [function.{name}]",
                    keys::THREADS.kind.default
                )),
            );
        }
    }
}
