//! The variables that a function's settings stand in.

/// Where they come from.
#[derive(Debug)]
pub(crate) enum Environment {
    /// The process, whose environment is what the chain file says.
    OfProcess,
    /// A test, which cannot change its process's while others read it.
    OfTest(Vec<(String, String)>),
}

impl Environment {
    /// The value of `name`, if it is there and text.
    pub(crate) fn var(&self, name: &str) -> Option<String> {
        match self {
            Self::OfProcess => std::env::var(name).ok(),
            Self::OfTest(variables) => {
                let found = variables.iter().rev().find(|(key, _)| key == name);
                found.map(|(_, value)| value.clone())
            }
        }
    }
}
