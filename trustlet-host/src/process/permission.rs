//! Why the kernel refuses a namespace: the settings that administrators and distributions forbid them with,
//! by name and value.

use super::layers::Layer;
use rustix::io::Errno;

/// Set to 0 by some distributions: ordinary users get no user namespace (Debian's kernels).
const USERS_ALLOWED: &str = "kernel/unprivileged_userns_clone";
/// 1: what an ordinary user does in a user namespace is refused unless an AppArmor profile allows it
/// (Ubuntu's kernels).
const APPARMOR_RESTRICTS: &str = "kernel/apparmor_restrict_unprivileged_userns";

/// How many namespaces of this kind a user may have, as a setting below `/proc/sys`.
pub(super) const fn count_setting(layer: Layer) -> Option<&'static str> {
    Some(match layer {
        Layer::UserNamespace => "user/max_user_namespaces",
        Layer::MountNamespace => "user/max_mnt_namespaces",
        Layer::PidNamespace => "user/max_pid_namespaces",
        Layer::NetNamespace => "user/max_net_namespaces",
        Layer::IpcNamespace => "user/max_ipc_namespaces",
        Layer::UtsNamespace => "user/max_uts_namespaces",
        _ => return None,
    })
}

/// A setting's value, without white space around it.
pub(super) fn setting(name: &str) -> Option<String> {
    let text = std::fs::read_to_string(format!("/proc/sys/{name}")).ok()?;
    Some(text.trim().to_owned())
}

/// In plain words what `errno` means when a namespace was made or used. `setting` looks settings up.
pub(super) fn refusal(layer: Layer, errno: Errno, setting: impl Fn(&str) -> Option<String>) -> String {
    let dotted = |name: &str| name.replace('/', ".");
    match errno {
        Errno::NOSPC | Errno::USERS => {
            let name = count_setting(layer).unwrap_or("user/max_user_namespaces");
            let value = setting(name).map_or_else(String::new, |value| format!(", which is {value}"));
            format!(
                "the limit on namespaces, {}{value}, or the one of a container around this one, is reached",
                dotted(name)
            )
        }
        Errno::PERM | Errno::ACCESS => {
            if setting(USERS_ALLOWED).as_deref() == Some("0") {
                format!("{} is 0: ordinary users may have none", dotted(USERS_ALLOWED))
            } else if setting(APPARMOR_RESTRICTS).is_some_and(|value| value != "0") {
                format!(
                    "{} is 1: AppArmor refuses ordinary users what namespaces are for",
                    dotted(APPARMOR_RESTRICTS)
                )
            } else {
                "the kernel does not permit it to this user, or a container's rules do not".to_owned()
            }
        }
        Errno::INVAL => "the kernel was built without it".to_owned(),
        other => std::io::Error::from(other).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(errno: Errno, settings: &[(&str, &str)]) -> String {
        refusal(Layer::NetNamespace, errno, |name| {
            let found = settings.iter().find(|(known, _)| *known == name)?;
            Some(found.1.to_owned())
        })
    }

    #[test]
    fn a_refused_namespace_names_the_setting_that_refuses_it() {
        let reached = said(Errno::NOSPC, &[("user/max_net_namespaces", "7")]);
        assert!(
            reached.contains("user.max_net_namespaces, which is 7"),
            "{reached}"
        );
        let debian = said(Errno::PERM, &[(USERS_ALLOWED, "0")]);
        assert!(
            debian.contains("kernel.unprivileged_userns_clone is 0"),
            "{debian}"
        );
        let ubuntu = said(Errno::ACCESS, &[(USERS_ALLOWED, "1"), (APPARMOR_RESTRICTS, "1")]);
        assert!(
            ubuntu.contains("kernel.apparmor_restrict_unprivileged_userns is 1"),
            "{ubuntu}"
        );
        let container = said(Errno::PERM, &[(APPARMOR_RESTRICTS, "0")]);
        assert!(container.contains("container"), "{container}");
    }
}
