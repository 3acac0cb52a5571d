//! Faults of the world, for real: a directory that goes, cannot be read, is empty, is another mount, and a system that gives no
//! events. What needs rights or a namespace of its own runs in a child process, which is this test binary again.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on says so by panicking"
)]

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use caxton_watch::{Change, Loss, Options, StartError, Watcher};
use tokio::{runtime::Runtime, time::timeout};

/// How long a fact may take on a machine that is busy with other tests.
const DEADLINE: Duration = Duration::from_secs(60);

/// A watched directory inside a folder of its own.
struct Bench {
    runtime: Runtime,
    folder: tempfile::TempDir,
    watcher: Option<Watcher>,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("agents")).unwrap();
        Self {
            runtime: Runtime::new().unwrap(),
            folder,
            watcher: None,
        }
    }

    /// One whose watcher runs and has delivered two agents.
    fn serving() -> Self {
        let mut bench = Self::new();
        bench.start(&[]).unwrap();
        for name in ["a", "b"] {
            bench.put(name, "1");
            assert_eq!(bench.next(), format!("wanted {name} 1"));
        }
        bench
    }

    fn start(&mut self, known: &[&str]) -> Result<(), StartError> {
        let options = Options {
            settle: Duration::from_millis(20),
            rescan: Duration::from_millis(50),
            remove_grace: Duration::from_millis(300),
            ..Options::default()
        };
        let known: BTreeSet<String> = known.iter().map(|name| (*name).to_owned()).collect();
        self.watcher = Some(Watcher::start(&self.agents(), options, known)?);
        Ok(())
    }

    fn agents(&self) -> PathBuf {
        self.folder.path().join("agents")
    }

    /// Renamed into place: nobody sees half of it.
    fn put(&self, name: &str, text: &str) {
        let aside = self.agents().join(format!(".{name}"));
        fs::write(&aside, text).unwrap();
        fs::rename(aside, self.agents().join(format!("{name}.wasm"))).unwrap();
    }

    fn change(&mut self) -> Change {
        let watcher = self.watcher.as_mut().unwrap();
        let next = self
            .runtime
            .block_on(async { timeout(DEADLINE, watcher.next()).await });
        next.expect("a change in time").expect("the thread runs")
    }

    fn next(&mut self) -> String {
        match self.change() {
            Change::Wanted {
                name, component, ..
            } => format!(
                "wanted {name} {}",
                String::from_utf8_lossy(&component.bytes)
            ),
            Change::Gone { name } => format!("gone {name}"),
            Change::DirectoryFound => "found".to_owned(),
            other => panic!("{other:?}"),
        }
    }

    /// Why the directory is lost; the message says that everything serves on and what to do.
    fn lost(&mut self) -> Loss {
        let Change::DirectoryLost { why } = self.change() else {
            panic!("the directory counts as there");
        };
        let told = why.to_string();
        let (what, help) = told
            .split_once("; everything serves on: ")
            .expect("it serves on");
        assert!(
            what.contains(&self.agents().display().to_string()) && help.len() > 10,
            "{told}"
        );
        why
    }
}

#[test]
fn a_directory_that_is_renamed_away_and_back_removes_nothing() {
    let mut bench = Bench::serving();
    let aside = bench.folder.path().join("aside");
    fs::rename(bench.agents(), &aside).unwrap();
    assert!(matches!(bench.lost(), Loss::Missing { .. }));
    fs::write(bench.agents(), "a file").unwrap();
    assert!(matches!(bench.lost(), Loss::NotADirectory { .. }));
    fs::remove_file(bench.agents()).unwrap();
    assert!(matches!(bench.lost(), Loss::Missing { .. }));
    fs::rename(&aside, bench.agents()).unwrap();
    assert_eq!(bench.next(), "found");
    // The next thing that is said is the next thing that happens, and not a removal.
    bench.put("c", "1");
    assert_eq!(bench.next(), "wanted c 1");
}

#[test]
fn a_directory_that_is_removed_and_made_again_waits_for_a_component() {
    let mut bench = Bench::serving();
    fs::remove_dir_all(bench.agents()).unwrap();
    loop {
        // Seen half removed, it is only empty yet.
        if matches!(bench.lost(), Loss::Missing { .. }) {
            break;
        }
    }
    fs::create_dir(bench.agents()).unwrap();
    assert!(matches!(
        bench.lost(),
        Loss::AllVanished { delivered: 2, .. }
    ));
    bench.put("b", "2");
    assert_eq!(bench.next(), "found");
    assert_eq!(bench.next(), "wanted b 2");
    assert_eq!(bench.next(), "gone a");
}

#[test]
fn at_the_start_of_a_later_run_a_directory_in_doubt_removes_nothing() {
    // Empty: a mount that is not there, most often.
    let mut bench = Bench::new();
    bench.start(&["a", "b"]).unwrap();
    assert!(matches!(
        bench.lost(),
        Loss::AllVanished { delivered: 2, .. }
    ));
    bench.put("b", "1");
    assert_eq!(bench.next(), "found");
    assert_eq!(bench.next(), "wanted b 1");
    assert_eq!(bench.next(), "gone a");

    // Missing, and then there.
    let mut bench = Bench::new();
    fs::remove_dir(bench.agents()).unwrap();
    bench.start(&["a"]).unwrap();
    assert!(matches!(bench.lost(), Loss::Missing { .. }));
    fs::create_dir(bench.agents()).unwrap();
    assert!(matches!(
        bench.lost(),
        Loss::AllVanished { delivered: 1, .. }
    ));
    bench.put("a", "1");
    assert_eq!(bench.next(), "found");
    assert_eq!(bench.next(), "wanted a 1");

    // Nothing is known: then nothing serves, and a wrong path is a wrong path.
    let mut bench = Bench::new();
    fs::remove_dir(bench.agents()).unwrap();
    assert!(matches!(bench.start(&[]), Err(StartError::Missing { .. })));
}

/// Runs `scenario` in a child, started by these words. False where this machine does not let anybody do that.
fn in_a_child(scenario: &str, starter: &[&str]) -> bool {
    let child = |scenario: &str| {
        let mut command = Command::new(starter[0]);
        command
            .args(&starter[1..])
            .arg(std::env::current_exe().unwrap());
        command.args([
            "--exact",
            "a_scenario_in_a_child",
            "--ignored",
            "--nocapture",
        ]);
        command.env("CAXTON_WATCH_SCENARIO", scenario).output()
    };
    // First whether it can be started like this at all.
    if !child("nothing").is_ok_and(|output| output.status.success()) {
        eprintln!("not tried: {} does not work here", starter.join(" "));
        return false;
    }
    let output = child(scenario).unwrap();
    let told = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && told.contains("scenario played"),
        "{scenario}: {told}"
    );
    true
}

#[test]
#[ignore = "the other tests run it, in a process with other rights"]
fn a_scenario_in_a_child() {
    match std::env::var("CAXTON_WATCH_SCENARIO").unwrap().as_str() {
        "nothing" => {}
        "no rights" => no_rights(),
        "no instances" => no_events("max_inotify_instances"),
        "no watches" => no_events("max_inotify_watches"),
        "mounts" => mounts(),
        other => panic!("{other}"),
    }
    println!("scenario played");
}

#[test]
fn a_directory_that_cannot_be_read_for_a_while_removes_nothing() {
    let owner = fs::metadata(std::env::temp_dir()).unwrap();
    let root = fs::metadata("/proc/self").unwrap().uid() == 0;
    assert!(owner.is_dir());
    if root {
        // Nothing is closed to root; nobody has a directory of its own then.
        in_a_child(
            "no rights",
            &[
                "setpriv",
                "--reuid",
                "65534",
                "--regid",
                "65534",
                "--clear-groups",
            ],
        );
    } else {
        no_rights();
    }
}

fn no_rights() {
    let mut bench = Bench::serving();
    let agents = bench.agents();
    let mode = |mode| fs::set_permissions(&agents, fs::Permissions::from_mode(mode)).unwrap();
    mode(0o000);
    assert!(matches!(bench.lost(), Loss::Unreadable { .. }));
    mode(0o755);
    assert_eq!(bench.next(), "found");
    bench.put("c", "1");
    assert_eq!(bench.next(), "wanted c 1");
    drop(bench);

    // At the start of a later run, too; at the first, it is an error.
    for known in [&["a"][..], &[]] {
        let mut bench = Bench::new();
        let agents = bench.agents();
        let mode = |mode| fs::set_permissions(&agents, fs::Permissions::from_mode(mode)).unwrap();
        mode(0o000);
        match bench.start(known) {
            Ok(()) => assert!(matches!(bench.lost(), Loss::Unreadable { .. })),
            Err(error) => assert!(
                known.is_empty() && matches!(error, StartError::Unreadable { .. }),
                "{error}"
            ),
        }
        mode(0o755);
    }
    // One file that cannot be read is refused, and what was delivered of it stands.
    let mut bench = Bench::serving();
    let file = bench.agents().join("a.wasm");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).unwrap();
    let Change::Refused { problem, .. } = bench.change() else {
        panic!("it was read");
    };
    assert!(
        problem
            .to_string()
            .contains("check its owner and permissions"),
        "{problem}"
    );
}

#[test]
fn without_events_the_message_names_the_limit_and_changes_are_found_all_the_same() {
    for scenario in ["no instances", "no watches"] {
        in_a_child(scenario, &["unshare", "--user", "--map-root-user"]);
    }
}

fn no_events(limit: &str) {
    fs::write(Path::new("/proc/sys/user").join(limit), "0").unwrap();
    let mut bench = Bench::new();
    bench.start(&[]).unwrap();
    let Change::Polling { why } = bench.change() else {
        panic!("there are events");
    };
    assert!(
        why.contains("fs.inotify.max_user_instances") && why.contains("restart"),
        "{why}"
    );
    for text in ["1", "2"] {
        bench.put("a", text);
        assert_eq!(bench.next(), format!("wanted a {text}"));
    }
}

#[test]
fn a_file_system_that_is_unmounted_and_mounted_again_removes_nothing() {
    in_a_child(
        "mounts",
        &["unshare", "--user", "--map-root-user", "--mount"],
    );
}

fn mounts() {
    let mount = |bench: &Bench| {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "tmpfs"]).arg(bench.agents());
        assert!(mount.status().unwrap().success());
    };
    let mut bench = Bench::new();
    mount(&bench);
    bench.start(&[]).unwrap();
    for name in ["a", "b"] {
        bench.put(name, "1");
        assert_eq!(bench.next(), format!("wanted {name} 1"));
    }
    assert!(
        Command::new("umount")
            .arg(bench.agents())
            .status()
            .unwrap()
            .success()
    );
    assert!(matches!(bench.lost(), Loss::OtherDevice { .. }));
    // Another one: some of the files are not all of them.
    mount(&bench);
    bench.put("a", "2");
    bench.put("b", "1");
    assert_eq!(bench.next(), "found");
    assert_eq!(bench.next(), "wanted a 2");
    bench.put("b", "2");
    assert_eq!(bench.next(), "wanted b 2");
    drop(bench.watcher.take());
    assert!(
        Command::new("umount")
            .arg(bench.agents())
            .status()
            .unwrap()
            .success()
    );
}
