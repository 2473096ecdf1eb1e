//! The variables that runtimes and handlers expect, where the chain file does not set them.

use rustix::process::{Resource, getrlimit};
use std::ffi::OsString;

/// Where the files of a handler are, and its working folder if there is one of this name.
pub(super) const TASK_ROOT: &str = "/var/task";
/// Clients of AWS refuse to be made without a region, long before they are used; the one that AWS's own
/// emulator has.
const REGION: &str = "us-east-1";
/// Told where the process has no limit.
const MEMORY_MIB: u64 = 128;

/// What the guest is told of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Environment {
    pub(super) function: String,
    pub(super) region: String,
    /// Beside the adaptor's own variables.
    pub(super) variables: Vec<(&'static str, OsString)>,
}

impl Environment {
    /// That of this process, whose API is at `api`. `set` says what the chain file sets.
    pub(super) fn of_this_process(api: &str, set: impl Fn(&str) -> Option<String>) -> Self {
        let host = rustix::system::uname();
        let memory_bytes = getrlimit(Resource::Data).current;
        Self::new(api, &host.nodename().to_string_lossy(), memory_bytes, set)
    }

    /// That of a function whose process has the host name `host`.
    fn new(api: &str, host: &str, memory_bytes: Option<u64>, set: impl Fn(&str) -> Option<String>) -> Self {
        let function = set("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_else(|| name_in(host));
        let region = set("AWS_REGION")
            .or_else(|| set("AWS_DEFAULT_REGION"))
            .unwrap_or_else(|| REGION.to_owned());
        let memory_mib = memory_bytes.map_or(MEMORY_MIB, |bytes| bytes >> 20).to_string();
        let offered = [
            ("AWS_LAMBDA_FUNCTION_NAME", &*function),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", &memory_mib),
            ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
            ("AWS_REGION", &region),
            ("AWS_DEFAULT_REGION", &region),
            ("LAMBDA_TASK_ROOT", TASK_ROOT),
            ("PATH", "/usr/local/bin:/usr/bin:/bin:/opt/bin"),
        ];
        let is_missing = |(name, _): &(&'static str, &str)| set(name).is_none();
        let missing = offered.into_iter().filter(is_missing);
        // Nothing else answers there, so nobody else can choose it.
        let variables = [("AWS_LAMBDA_RUNTIME_API", api)].into_iter().chain(missing);
        let variables = variables
            .map(|(name, value)| (name, OsString::from(value)))
            .collect();
        Self {
            function,
            region,
            variables,
        }
    }
}

/// The function's name in a host name, which is the chain's and the function's.
fn name_in(host: &str) -> String {
    let name = host.rsplit('/').next().unwrap_or_default();
    let is_told = |character: &char| character.is_ascii_alphanumeric() || "-_".contains(*character);
    let told: String = name.chars().filter(is_told).collect();
    if told.is_empty() {
        "function".to_owned()
    } else {
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value<'e>(environment: &'e Environment, name: &str) -> Option<&'e str> {
        let mut found = environment.variables.iter().filter(|(known, _)| *known == name);
        let (_, value) = found.next()?;
        assert!(found.next().is_none(), "{name} once");
        value.to_str()
    }

    #[test]
    fn what_runtimes_expect_is_there_unless_the_chain_file_sets_it() {
        let environment = Environment::new("127.0.0.1:9001", "t/thumb", Some(256 << 20), |_| None);
        for (name, expected) in [
            ("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001"),
            ("AWS_LAMBDA_FUNCTION_NAME", "thumb"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
            ("AWS_REGION", "us-east-1"),
            ("LAMBDA_TASK_ROOT", "/var/task"),
        ] {
            assert_eq!(value(&environment, name), Some(expected), "{name}");
        }
        let set = |name: &str| match name {
            "AWS_LAMBDA_FUNCTION_NAME" => Some("mine".to_owned()),
            "AWS_REGION" => Some("eu-central-1".to_owned()),
            "AWS_LAMBDA_RUNTIME_API" => Some("elsewhere".to_owned()),
            _ => None,
        };
        let environment = Environment::new("127.0.0.1:9001", "t/thumb", None, set);
        assert_eq!(
            (&*environment.function, &*environment.region),
            ("mine", "eu-central-1")
        );
        assert_eq!(value(&environment, "AWS_LAMBDA_FUNCTION_NAME"), None);
        assert_eq!(value(&environment, "AWS_DEFAULT_REGION"), Some("eu-central-1"));
        assert_eq!(
            value(&environment, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE"),
            Some("128")
        );
        assert_eq!(
            value(&environment, "AWS_LAMBDA_RUNTIME_API"),
            Some("127.0.0.1:9001")
        );
    }

    #[test]
    fn a_name_is_that_of_the_function() {
        assert_eq!(
            ["t/thumb_1", "alone", "a/", ""].map(name_in),
            ["thumb_1", "alone", "function", "function"]
        );
    }
}
