use super::super::file::ChainFile;
use super::*;
use hacher_chain_dsl::{Code, check};
use std::fs;
use std::os::unix::fs::symlink;
use tempfile::TempDir;

/// Takes something away.
type Spoil = fn(&Machine);

/// A machine's interpreter with its library, and an environment that is made for it.
struct Machine(TempDir);

impl Machine {
    fn new() -> Self {
        let machine = Self(tempfile::tempdir().unwrap());
        machine.write("usr/bin/python3.11", "");
        symlink("python3.11", machine.path("usr/bin/python3")).unwrap();
        machine.write("usr/lib/python3.11/os.py", "");
        machine.write("usr/lib/python3.11/json/decoder.py", "");
        machine.write("usr/lib/python3.11/json/__pycache__/decoder.pyc", "");
        machine.write("usr/lib/python3.11/test/x.py", "");
        machine.write("etc/sitecustomize.py", "");
        symlink(
            "/etc/sitecustomize.py",
            machine.path("usr/lib/python3.11/sitecustomize.py"),
        )
        .unwrap();
        machine.write(
            "venv/pyvenv.cfg",
            "home = /usr/bin\ninclude-system-site-packages = false\n",
        );
        fs::create_dir_all(machine.path("venv/bin")).unwrap();
        symlink(machine.path("usr/bin/python3"), machine.path("venv/bin/python3")).unwrap();
        let packages = "venv/lib/python3.11/site-packages";
        machine.write(&format!("{packages}/hacher/__init__.py"), "");
        machine.write(&format!("{packages}/hacher/_native.abi3.so"), "");
        machine.write(&format!("{packages}/pip/__init__.py"), "");
        machine.write("app.py", "def handler(body):\n    return body\n");
        machine
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn find(&self, lines: &str) -> Result<Found, String> {
        self.find_beneath(None, lines, &[])
    }

    /// What a chain file finds where `--files-dir` is given, by a service with these folders of programs.
    fn find_beneath(&self, bound: Option<&str>, lines: &str, programs: &[&str]) -> Result<Found, String> {
        let bound = bound.map(|folder| Beneath::new("--files-dir", &self.path(folder)).unwrap());
        let programs = programs
            .iter()
            .map(|folder| self.path(folder))
            .collect::<Vec<_>>();
        let text = format!(
            "chain = \"t\"\nflow = [\"ingress -> f -> egress\"]\n[function.f]\npython = \"app.py:handler\"\n{lines}\n"
        );
        let checked = check(&text, "chain.toml").unwrap();
        let (id, function) = checked.chain().functions_with_ids().next().unwrap();
        let asked = Asked {
            interpreter: function.interpreter().unwrap(),
            spans: checked.python_spans(id).unwrap(),
            folder: self.0.path(),
            bound: bound.as_ref(),
            handler: Some(Handler {
                python: function.python().unwrap(),
                files: function.files(),
                own_args: function.args(),
            }),
        };
        asked.find_in(&programs).map_err(|found| {
            assert!(
                found
                    .iter()
                    .all(|problem| problem.code() == Code::PythonNotUsable)
            );
            checked.with_found(found).render(false)
        })
    }
}

fn places(found: &Found) -> Vec<String> {
    let of_tree = |tree: &Tree| {
        tree.entries()
            .iter()
            .map(|entry| tree.place_of(entry))
            .collect::<Vec<_>>()
    };
    found.trees.iter().flat_map(of_tree).collect()
}

#[test]
fn an_environment_leads_to_its_interpreter_and_both_to_places_of_their_own() {
    let machine = Machine::new();
    let found = machine
        .find("venv = \"venv\"\npreload = [\"a\", \"b.c\"]")
        .unwrap();
    assert_eq!(
        found.interpreter,
        machine.path("usr/bin/python3.11").canonicalize().unwrap()
    );
    assert_eq!(
        places(&found),
        [
            "/app.py",
            "/python/lib/python3.11",
            "/python/lib/python3.11/json",
            "/python/lib/python3.11/json/decoder.py",
            "/python/lib/python3.11/os.py",
            "/python/packages",
            "/python/packages/hacher",
            "/python/packages/hacher/__init__.py",
            "/python/packages/hacher/_native.abi3.so",
        ]
    );
    assert_eq!(found.args, ["-m", "hacher", "--preload=a,b.c", "/app.py:handler"]);
    assert_eq!(found.modules.len(), 1);
    let variable = |name| found.env.iter().find(|(key, _)| *key == name).unwrap().1.as_str();
    assert_eq!(
        (variable("PYTHONHOME"), variable("PYTHONPATH")),
        ("/python", "/python/packages")
    );
    // By the interpreter of the environment, the same.
    let other = machine.find("interpreter = \"venv/bin/python3\"").unwrap();
    assert_eq!(places(&other), places(&found));
}

#[test]
fn links_out_of_an_environment_are_what_they_lead_to_and_those_to_nothing_are_left_out() {
    let machine = Machine::new();
    machine.write("elsewhere/one.py", "1");
    machine.write("elsewhere/below/two.so", "2");
    let packages = machine.path("venv/lib/python3.11/site-packages");
    symlink("../../../../elsewhere/one.py", packages.join("one.py")).unwrap();
    symlink(machine.path("elsewhere"), packages.join("all")).unwrap();
    symlink("/no/such/file", packages.join("gone.py")).unwrap();
    symlink("hacher", packages.join("same")).unwrap();
    let found = machine.find("venv = \"venv\"").unwrap();
    let places = places(&found);
    let has = |place: &str| places.iter().any(|found| found == place);
    assert!(
        has("/python/packages/one.py") && has("/python/packages/all/below/two.so"),
        "{places:?}"
    );
    assert!(
        has("/python/packages/same")
            && !has("/python/packages/same/__init__.py")
            && !has("/python/packages/gone.py")
    );
    assert_eq!(found.modules.len(), 2);
}

/// A machine on which chain files and their environments lie beneath `srv`.
fn bounded() -> Machine {
    let machine = Machine::new();
    fs::create_dir_all(machine.path("srv")).unwrap();
    fs::rename(machine.path("venv"), machine.path("srv/venv")).unwrap();
    fs::rename(machine.path("app.py"), machine.path("srv/app.py")).unwrap();
    symlink("srv/app.py", machine.path("app.py")).unwrap();
    machine.write("secret/key.py", "secret");
    machine
}

/// Lets the system's packages in, so that `venv` leads to them, too.
fn with_system(machine: &Machine) {
    machine.write("srv/venv/pyvenv.cfg", "include-system-site-packages = true\n");
    machine.write("usr/lib/python3/dist-packages/six.py", "");
}

#[test]
fn the_interpreter_of_the_service_may_lie_outside_of_where_files_may() {
    let machine = bounded();
    with_system(&machine);
    machine.write("usr/share/data/one.py", "");
    symlink(
        machine.path("usr/share/data"),
        machine.path("usr/lib/python3/dist-packages/data"),
    )
    .unwrap();
    let venv = "venv = \"srv/venv\"";
    let found = machine.find_beneath(Some("srv"), venv, &["usr/bin"]).unwrap();
    let places = places(&found);
    for place in [
        "/python/lib/python3.11/os.py",
        "/python/packages/hacher/__init__.py",
        "/python/packages1/six.py",
        "/python/packages1/data/one.py",
    ] {
        assert!(places.iter().any(|found| found == place), "{place}: {places:?}");
    }
    // Of another, only what lies where files may; and the message says what would do.
    let refused = machine
        .find_beneath(Some("srv"), venv, &[])
        .map(|_| ())
        .unwrap_err();
    assert!(
        refused.contains("not beneath --files-dir") && refused.contains("usr/bin:$PATH"),
        "{refused}"
    );
}

#[test]
fn no_link_leads_out_of_where_files_may_lie_nor_switches_that_off() {
    // What is spoiled, the lines of the chain file, and what is told.
    let venv = "venv = \"srv/venv\"";
    let own = "interpreter = \"srv/own/bin/python3\"";
    let cases: [(&str, Spoil, &str); 8] = [
        (
            venv,
            |machine| {
                // The folder of packages itself, elsewhere.
                let packages = machine.path("srv/venv/lib/python3.11/site-packages");
                fs::rename(&packages, machine.path("elsewhere")).unwrap();
                symlink(machine.path("elsewhere"), &packages).unwrap();
            },
            "not beneath --files-dir",
        ),
        (
            venv,
            |machine| {
                // A second one.
                fs::create_dir_all(machine.path("srv/venv/lib64/python3.11")).unwrap();
                let link = machine.path("srv/venv/lib64/python3.11/site-packages");
                symlink(machine.path("secret"), link).unwrap();
            },
            "not beneath --files-dir",
        ),
        (
            venv,
            |machine| {
                // One that is the system's, too.
                with_system(machine);
                fs::create_dir_all(machine.path("srv/venv/lib64/python3.11")).unwrap();
                let link = machine.path("srv/venv/lib64/python3.11/site-packages");
                symlink(machine.path("usr/lib/python3/dist-packages"), link).unwrap();
            },
            "not beneath --files-dir",
        ),
        (
            venv,
            |machine| {
                let link = machine.path("srv/venv/lib/python3.11/site-packages/x");
                symlink(machine.path("secret"), link).unwrap();
            },
            "leads out of its folder",
        ),
        (
            venv,
            |machine| {
                // Of the service's interpreter, links lead to what was installed with it.
                let link = machine.path("usr/lib/python3.11/x");
                symlink(machine.path("secret"), link).unwrap();
            },
            "not beneath the interpreter's folder",
        ),
        (
            venv,
            |machine| {
                with_system(machine);
                let link = machine.path("usr/lib/python3/dist-packages/key.py");
                symlink(machine.path("secret/key.py"), link).unwrap();
            },
            "not beneath the interpreter's folder",
        ),
        (
            own,
            |machine| {
                symlink(machine.path("secret"), machine.path("srv/own/lib/python3.11/x")).unwrap();
            },
            "leads out of its folder",
        ),
        (
            own,
            |machine| {
                fs::create_dir_all(machine.path("srv/own/lib/python3")).unwrap();
                let link = machine.path("srv/own/lib/python3/dist-packages");
                symlink(machine.path("secret"), link).unwrap();
            },
            "not beneath --files-dir",
        ),
    ];
    for (at, (lines, spoil, told)) in cases.into_iter().enumerate() {
        let machine = bounded();
        machine.write("srv/own/bin/python3", "");
        machine.write("srv/own/lib/python3.11/os.py", "");
        let packages = "srv/own/lib/python3.11/site-packages/hacher";
        machine.write(&format!("{packages}/__init__.py"), "");
        machine.write(&format!("{packages}/_native.abi3.so"), "");
        let find = || machine.find_beneath(Some("srv"), lines, &["usr/bin"]);
        assert!(find().is_ok(), "{at}");
        spoil(&machine);
        let refused = find().map(|found| places(&found)).unwrap_err();
        assert!(refused.contains(told), "{at}: {refused}");
    }
}

#[test]
fn what_links_lead_to_is_looked_at_as_what_is_named() {
    let packages = "venv/lib/python3.11/site-packages";
    for (target, told) in [
        ("/proc/self/environ", "made up by the kernel"),
        ("/proc/self", "made up by the kernel"),
        ("/dev/null", "is a device"),
    ] {
        let machine = Machine::new();
        symlink(target, machine.path(packages).join("x")).unwrap();
        let refused = machine.find("venv = \"venv\"").map(|_| ()).unwrap_err();
        assert!(refused.contains(told), "{target}: {refused}");
    }
}

#[test]
fn packages_of_the_machine_come_with_an_environment_that_says_so() {
    let machine = Machine::new();
    machine.write("usr/lib/python3/dist-packages/six.py", "");
    let without = machine.find("venv = \"venv\"").unwrap();
    assert!(!places(&without).contains(&"/python/packages1/six.py".to_owned()));
    machine.write("venv/pyvenv.cfg", "include-system-site-packages = true\n");
    let with = machine.find("venv = \"venv\"").unwrap();
    assert!(places(&with).contains(&"/python/packages1/six.py".to_owned()));
    assert!(
        with.env
            .contains(&("PYTHONPATH", "/python/packages:/python/packages1".to_owned()))
    );
}

#[test]
fn a_file_that_comes_with_its_folder_is_not_given_twice() {
    let machine = Machine::new();
    machine.write("src/app.py", "handler = print\n");
    let found = machine.find("venv = \"venv\"\nfiles = [\"models\"]").unwrap();
    assert!(places(&found).contains(&"/app.py".to_owned()));
    let text = "chain = \"t\"\nflow = [\"ingress -> f -> egress\"]\n[function.f]\npython = \"src/app.py:handler\"\n\
                venv = \"venv\"\nfiles = [\"src\"]\n";
    fs::write(machine.path("chain.toml"), text).unwrap();
    let file = ChainFile::read(&machine.path("chain.toml")).unwrap();
    // The interpreter is no executable: found, and refused as any other.
    let refused = file.open_functions().unwrap_err().to_string();
    assert!(
        refused.contains("E0502") && !refused.contains("E0506"),
        "{refused}"
    );
}

#[test]
fn what_is_missing_is_told_with_what_would_do() {
    let cases: [(&str, &str, Spoil); 10] = [
        ("venv = \"venv\"", "made with --copies?", |machine| {
            fs::remove_file(machine.path("venv/bin/python3")).unwrap();
            machine.write("venv/bin/python3", "");
        }),
        (
            "interpreter = \"usr/bin/python3.11t\"",
            "free-threaded and debug builds are not supported",
            |machine| machine.write("usr/bin/python3.11t", ""),
        ),
        ("venv = \"none\"", "python3 -m venv none", |_| ()),
        (
            "venv = \"venv\"",
            "the package `hacher` is not installed",
            |machine| {
                fs::remove_file(machine.path("venv/lib/python3.11/site-packages/hacher/_native.abi3.so"))
                    .unwrap();
            },
        ),
        ("venv = \"venv\"", "has no packages for Python 3.11", |machine| {
            fs::rename(
                machine.path("venv/lib/python3.11"),
                machine.path("venv/lib/python3.12"),
            )
            .unwrap();
        }),
        (
            "venv = \"venv\"",
            "is Python 3.8, and functions need 3.9 or later",
            |machine| {
                for path in ["usr/lib/python3", "venv/lib/python3"] {
                    fs::rename(
                        machine.path(&format!("{path}.11")),
                        machine.path(&format!("{path}.8")),
                    )
                    .unwrap();
                }
                fs::rename(
                    machine.path("usr/bin/python3.11"),
                    machine.path("usr/bin/python3.8"),
                )
                .unwrap();
                fs::remove_file(machine.path("usr/bin/python3")).unwrap();
                symlink("python3.8", machine.path("usr/bin/python3")).unwrap();
            },
        ),
        ("venv = \"venv\"", "no standard library in", |machine| {
            fs::remove_file(machine.path("usr/lib/python3.11/os.py")).unwrap();
        }),
        ("venv = \"venv\"", "has no interpreter in `bin`", |machine| {
            fs::remove_dir_all(machine.path("venv/bin")).unwrap();
        }),
        ("venv = \"venv\"", "nothing in `", |machine| {
            machine.write("app.py", "def other(body):\n")
        }),
        ("venv = \"venv\"", "app.py", |machine| {
            fs::remove_file(machine.path("app.py")).unwrap()
        }),
    ];
    for (lines, told, spoil) in cases {
        let machine = Machine::new();
        spoil(&machine);
        let found = machine.find(lines).map(|found| places(&found)).unwrap_err();
        assert!(found.contains(told), "{lines}: {found}");
    }
}

#[test]
fn several_libraries_are_told_apart_by_the_name_of_the_interpreter() {
    let machine = Machine::new();
    machine.write("usr/lib/python3.12/os.py", "");
    assert!(machine.find("venv = \"venv\"").is_ok());
    machine.write("usr/bin/python", "");
    let refused = machine
        .find("interpreter = \"usr/bin/python\"")
        .map(|_| ())
        .unwrap_err();
    assert!(refused.contains("fits its name"), "{refused}");
}

#[test]
fn arguments_are_counted_with_those_of_the_interpreter_and_preload_is_one_of_them() {
    let machine = Machine::new();
    let with = |count: usize, module_bytes: usize| {
        let args = vec!["\"x\""; count].join(", ");
        let modules = vec![format!("\"{}\"", "m".repeat(module_bytes)); 20].join(", ");
        machine
            .find(&format!(
                "venv = \"venv\"\nargs = [{args}]\npreload = [{modules}]"
            ))
            .map(|_| ())
    };
    assert_eq!(with(60, 100), Ok(()));
    let refused = with(61, 100).unwrap_err();
    assert!(
        refused.contains("65 arguments") && refused.contains("at most 60"),
        "{refused}"
    );
    let refused = with(60, 250).unwrap_err();
    assert!(
        refused.contains("`preload`") && refused.contains("4096"),
        "{refused}"
    );
}

#[test]
fn a_script_in_front_of_an_interpreter_is_passed_by() {
    let machine = Machine::new();
    machine.write("shims/python3", "#!/bin/sh\nexec python3\n");
    let error = machine
        .find_beneath(None, "", &["shims", "usr/bin"])
        .err()
        .unwrap();
    assert!(error.contains("usr/bin/python3.11"), "{error}");
    let error = machine.find_beneath(None, "", &["shims"]).err().unwrap();
    assert!(error.contains("or scripts alone"), "{error}");
}
