//! The watcher on a real file system, with events and by polling.
//!
//! Nothing here sleeps to see that something does not happen: a barrier, a further component that
//! has to settle after everything before it, shows what was said until then.

#![cfg(unix)]

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs::{self, File, OpenOptions},
    io::Write as _,
    os::unix::{ffi::OsStrExt as _, fs::symlink},
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use tokio::{runtime::Runtime, time::timeout};

use crate::{CHANGES_WAITING, Change, Loss, Options, Problem, StartError, Watcher};

/// How long a fact may take on a machine that is busy with other tests.
const DEADLINE: Duration = Duration::from_secs(60);

/// Last bytes of a complete component.
const END: &str = "END";

struct Bench {
    runtime: Runtime,
    /// Beside the watched directory: temporary files and link targets.
    aside: tempfile::TempDir,
    directory: PathBuf,
    watcher: Watcher,
    barriers: u32,
}

fn bench(poll: bool) -> Bench {
    let options = Options {
        poll,
        remove_grace: Duration::from_secs(1),
        // With events the rescan is out of the way, so that it is the events that are tested.
        rescan: Duration::from_millis(if poll { 50 } else { 3_600_000 }),
        incomplete: |bytes| !bytes.ends_with(END.as_bytes()),
        ..Options::default()
    };
    bench_with(options)
}

fn bench_with(options: Options) -> Bench {
    let aside = tempfile::tempdir().unwrap();
    let directory = aside.path().join("agents");
    fs::create_dir(&directory).unwrap();
    Bench {
        runtime: Runtime::new().unwrap(),
        watcher: Watcher::start(&directory, options, BTreeSet::new()).unwrap(),
        aside,
        directory,
        barriers: 0,
    }
}

impl Bench {
    fn at(&self, file: &str) -> PathBuf {
        self.directory.join(file)
    }

    fn aside(&self, file: &str) -> PathBuf {
        self.aside.path().join(file)
    }

    /// A complete component in a file beside the directory.
    fn component(&self, text: &str) -> PathBuf {
        let path = self.aside(&format!("{text}.new"));
        fs::write(&path, format!("{text}{END}")).unwrap();
        path
    }

    fn next(&mut self) -> Change {
        let watcher = &mut self.watcher;
        let next = self
            .runtime
            .block_on(async { timeout(DEADLINE, watcher.next()).await });
        next.expect("a change in time").expect("the thread runs")
    }

    /// The changes until everything up to now has been looked at, in short.
    fn barrier(&mut self) -> Vec<String> {
        self.barriers += 1;
        let name = format!("zz-{}", self.barriers);
        fs::rename(self.component(&name), self.at(&format!("{name}.wasm"))).unwrap();
        let wanted = format!("wanted {name} {name} -");
        let mut said = Vec::new();
        loop {
            let change = short(&self.next());
            if change == wanted {
                return said;
            }
            said.push(change);
        }
    }

    fn deploy(&mut self, name: &str, text: &str) {
        fs::rename(self.component(text), self.at(&format!("{name}.wasm"))).unwrap();
        assert_eq!(short(&self.next()), format!("wanted {name} {text} -"));
    }
}

fn short(change: &Change) -> String {
    match change {
        Change::Wanted {
            name,
            component,
            config,
            ..
        } => {
            let text = |bytes: &[u8]| {
                let text = String::from_utf8_lossy(bytes);
                text.trim_end_matches(END).trim_end_matches('.').to_owned()
            };
            let config = config
                .as_ref()
                .map_or("-".to_owned(), |config| text(&config.bytes));
            format!("wanted {name} {} {config}", text(&component.bytes))
        }
        Change::Gone { name } => format!("gone {name}"),
        Change::Refused { problem, .. } => format!("refused {problem}"),
        Change::Cleared { file, .. } => format!("cleared {file}"),
        Change::DirectoryLost { why } => format!("lost {why}"),
        Change::DirectoryFound => "found".to_owned(),
        Change::Polling { why } => format!("polling {why}"),
    }
}

fn both(test: fn(Bench)) {
    test(bench(false));
    test(bench(true));
}

#[test]
fn every_way_to_replace_a_file_is_one_change() {
    both(|mut bench| {
        bench.deploy("a", "a1");
        let file = bench.at("a.wasm");

        fs::copy(bench.component("cp"), &file).unwrap();
        assert_eq!(bench.barrier(), ["wanted a cp -"]);

        fs::rename(bench.component("mv"), &file).unwrap();
        assert_eq!(bench.barrier(), ["wanted a mv -"]);

        fs::copy(bench.component("temp"), bench.at(".a.wasm.Xy12")).unwrap();
        fs::rename(bench.at(".a.wasm.Xy12"), &file).unwrap();
        assert_eq!(bench.barrier(), ["wanted a temp -"]);

        fs::rename(&file, bench.at("a.wasm~")).unwrap();
        fs::copy(bench.component("editor"), &file).unwrap();
        fs::remove_file(bench.at("a.wasm~")).unwrap();
        assert_eq!(bench.barrier(), ["wanted a editor -"]);

        fs::remove_file(&file).unwrap();
        fs::copy(bench.component("rm-cp"), &file).unwrap();
        assert_eq!(bench.barrier(), ["wanted a rm-cp -"]);

        fs::remove_file(&file).unwrap();
        assert_eq!(bench.barrier(), [""; 0]);
        fs::hard_link(bench.component("link"), &file).unwrap();
        assert_eq!(bench.barrier(), ["wanted a link -"]);
    });
}

#[test]
fn equal_bytes_are_nothing_whatever_their_dates() {
    both(|mut bench| {
        bench.deploy("a", "a1");
        fs::rename(bench.component("a1"), bench.at("a.wasm")).unwrap();
        assert_eq!(bench.barrier(), [""; 0]);
        let file = OpenOptions::new()
            .append(true)
            .open(bench.at("a.wasm"))
            .unwrap();
        file.set_modified(std::time::UNIX_EPOCH).unwrap();
        drop(file);
        assert_eq!(bench.barrier(), [""; 0]);
        fs::remove_file(bench.at("a.wasm")).unwrap();
        fs::copy(bench.component("a1"), bench.at("a.wasm")).unwrap();
        assert_eq!(bench.barrier(), [""; 0]);
    });
}

#[test]
fn a_configuration_waits_for_its_component_and_its_changes_come_with_it() {
    both(|mut bench| {
        fs::write(bench.at("a.toml"), "c1").unwrap();
        assert_eq!(bench.barrier(), [""; 0]);
        fs::copy(bench.component("a1"), bench.at("a.wasm")).unwrap();
        assert_eq!(short(&bench.next()), "wanted a a1 c1");
        fs::write(bench.at("a.toml"), "c2").unwrap();
        assert_eq!(short(&bench.next()), "wanted a a1 c2");
        fs::remove_file(bench.at("a.toml")).unwrap();
        assert_eq!(short(&bench.next()), "wanted a a1 -");
    });
}

#[test]
fn a_link_that_is_swapped_or_whose_target_changes_is_one_change() {
    both(|mut bench| {
        for text in ["l1", "l2"] {
            fs::write(bench.aside(text), format!("{text}{END}")).unwrap();
        }
        symlink(bench.aside("l1"), bench.at("a.wasm")).unwrap();
        assert_eq!(bench.barrier(), ["wanted a l1 -"]);

        symlink(bench.aside("l2"), bench.aside("link")).unwrap();
        fs::rename(bench.aside("link"), bench.at("a.wasm")).unwrap();
        assert_eq!(bench.barrier(), ["wanted a l2 -"]);

        fs::write(bench.aside("l2"), format!("l3{END}")).unwrap();
        assert_eq!(short(&bench.next()), "wanted a l3 -");
        fs::rename(bench.component("l4"), bench.aside("l2")).unwrap();
        assert_eq!(short(&bench.next()), "wanted a l4 -");
    });
}

#[test]
fn a_folder_behind_hidden_links_is_swapped_as_one() {
    both(|mut bench| {
        for (folder, text) in [("..1", "v1"), ("..2", "v2")] {
            fs::create_dir(bench.at(folder)).unwrap();
            for name in ["a", "b"] {
                let path = bench.at(folder).join(format!("{name}.wasm"));
                fs::write(path, format!("{text}{END}")).unwrap();
            }
        }
        symlink("..1", bench.at("..data")).unwrap();
        for name in ["a.wasm", "b.wasm"] {
            symlink(Path::new("..data").join(name), bench.at(name)).unwrap();
        }
        assert_eq!(bench.barrier(), ["wanted a v1 -", "wanted b v1 -"]);
        symlink("..2", bench.at("..data_tmp")).unwrap();
        fs::rename(bench.at("..data_tmp"), bench.at("..data")).unwrap();
        fs::remove_dir_all(bench.at("..1")).unwrap();
        assert_eq!(bench.barrier(), ["wanted a v2 -", "wanted b v2 -"]);
    });
}

/// Twelve pieces of 1 KiB, farther apart than files have to stand still, 3 s in all.
fn write_slowly(file: &Path, reopen: bool) {
    fs::write(file, "").unwrap();
    let open = || OpenOptions::new().append(true).open(file).unwrap();
    let mut held = open();
    for piece in 0..12 {
        if reopen {
            held = open();
        }
        let text = if piece == 0 { "slow" } else { "" };
        write!(held, "{text:.<1024}").unwrap();
        if reopen {
            drop(std::mem::replace(&mut held, File::open(file).unwrap()));
        }
        thread::sleep(Duration::from_millis(250));
    }
    write!(open(), "{END}").unwrap();
}

#[test]
fn a_file_that_is_written_slowly_is_delivered_once_and_whole() {
    let write = |poll: bool, reopen: bool| {
        let mut bench = bench(poll);
        bench.deploy("a", "a1");
        for name in ["a.wasm", "new.wasm"] {
            let file = bench.at(name);
            let writer = thread::spawn(move || write_slowly(&file, reopen));
            let Change::Wanted { component, .. } = bench.next() else {
                unreachable!("only whole components are expected");
            };
            assert_eq!(component.bytes.len(), 12 * 1024 + END.len());
            assert!(component.bytes.starts_with(b"slow."));
            writer.join().unwrap();
            assert_eq!(bench.barrier(), [""; 0]);
        }
    };
    thread::scope(|scope| {
        for (poll, reopen) in [(false, false), (false, true), (true, false), (true, true)] {
            scope.spawn(move || write(poll, reopen));
        }
    });
}

#[test]
fn one_removal_is_believed_and_all_at_once_are_not() {
    both(|mut bench| {
        for name in ["a", "b", "c"] {
            bench.deploy(name, name);
        }
        fs::remove_file(bench.at("a.wasm")).unwrap();
        assert_eq!(short(&bench.next()), "gone a");
        for name in ["b.wasm", "c.wasm"] {
            fs::remove_file(bench.at(name)).unwrap();
        }
        let lost = bench.next();
        assert!(
            matches!(
                &lost,
                Change::DirectoryLost {
                    why: Loss::AllVanished { delivered: 2, .. }
                }
            ),
            "{lost:?}"
        );
        fs::copy(bench.component("b2"), bench.at("b.wasm")).unwrap();
        assert_eq!(bench.next(), Change::DirectoryFound);
        assert_eq!(short(&bench.next()), "wanted b b2 -");
        assert_eq!(short(&bench.next()), "gone c");
    });
}

#[test]
fn a_directory_that_is_removed_and_made_again_is_found_and_heard() {
    // Noticing that it is back is up to the rescan: nobody can listen to what is not there.
    for poll in [false, true] {
        let mut bench = bench_with(Options {
            poll,
            rescan: Duration::from_millis(100),
            ..Options::default()
        });
        bench.deploy("a", "a1");
        fs::remove_dir_all(&bench.directory).unwrap();
        let lost = bench.next();
        assert!(
            matches!(
                &lost,
                Change::DirectoryLost {
                    why: Loss::Missing { .. }
                }
            ),
            "{lost:?}"
        );
        fs::create_dir(&bench.directory).unwrap();
        let lost = bench.next();
        assert!(
            matches!(
                &lost,
                Change::DirectoryLost {
                    why: Loss::AllVanished { .. }
                }
            ),
            "{lost:?}"
        );
        fs::copy(bench.component("a2"), bench.at("a.wasm")).unwrap();
        assert_eq!(bench.next(), Change::DirectoryFound);
        assert_eq!(short(&bench.next()), "wanted a a2 -");
        bench.deploy("a", "a3");
    }
}

#[test]
fn what_cannot_be_taken_is_refused_with_its_own_message() {
    both(|mut bench| {
        bench.deploy("a", "a1");
        let huge = File::create(bench.aside("huge")).unwrap();
        huge.set_len(200 * 1024 * 1024).unwrap();
        fs::rename(bench.aside("huge"), bench.at("a.wasm")).unwrap();
        let refused = bench.next();
        let Change::Refused { name, problem, .. } = &refused else {
            unreachable!("{refused:?}");
        };
        assert_eq!(name.as_deref(), Some("a"));
        assert!(
            matches!(
                problem,
                Problem::TooLarge {
                    size: 209_715_200,
                    ..
                }
            ),
            "{problem}"
        );

        symlink("itself.wasm", bench.at("itself.wasm")).unwrap();
        symlink("nothing", bench.at("nowhere.wasm")).unwrap();
        fs::create_dir(bench.at("folder.wasm")).unwrap();
        let not_utf8 = OsStr::from_bytes(b"n\xffn.wasm");
        fs::write(bench.directory.join(not_utf8), "").unwrap();
        let mut said = bench.barrier();
        said.sort();
        let files: Vec<_> = said
            .iter()
            .filter_map(|line| line.split(": ").next())
            .collect();
        assert_eq!(
            files,
            [
                "refused folder.wasm",
                "refused itself.wasm",
                "refused nowhere.wasm",
                "refused n\u{fffd}n.wasm"
            ]
        );

        fs::copy(bench.component("a1"), bench.at("a.wasm")).unwrap();
        assert_eq!(bench.barrier(), ["cleared a.wasm"]);
    });
}

#[test]
fn a_slow_receiver_gets_the_newest_and_little_else() {
    both(|mut bench| {
        bench.deploy("a", "a0");
        for round in 1..=200 {
            let text = format!("a{round}");
            fs::rename(bench.component(&text), bench.at("a.wasm")).unwrap();
            thread::yield_now();
        }
        let said = bench.barrier();
        assert_eq!(said.last().map(String::as_str), Some("wanted a a200 -"));
        // What waited in the channel, what was about to, and the newest.
        assert!(said.len() <= CHANGES_WAITING + 2, "{said:?}");
    });
}

#[test]
fn a_watcher_that_nobody_listens_to_can_be_stopped() {
    both(|mut bench| {
        bench.deploy("a", "a1");
        for name in ["b", "c", "d", "e", "f"] {
            fs::rename(bench.component(name), bench.at(&format!("{name}.wasm"))).unwrap();
        }
        assert_eq!(short(&bench.next()), "wanted b b -");
        let (stopped, stops) = mpsc::channel();
        let watcher = bench.watcher;
        let stopper = thread::spawn(move || {
            watcher.stop();
            stopped.send(()).unwrap();
        });
        stops.recv_timeout(DEADLINE).expect("stopped in time");
        stopper.join().unwrap();
    });
}

#[test]
fn nothing_is_written_into_the_directory() {
    both(|mut bench| {
        bench.deploy("a", "a1");
        bench.barrier();
        let before = fs::metadata(&bench.directory).unwrap().modified().unwrap();
        fs::write(bench.at("a.wasm"), format!("a2{END}")).unwrap();
        assert_eq!(short(&bench.next()), "wanted a a2 -");
        bench.watcher.stop();
        let after = fs::metadata(&bench.directory).unwrap().modified().unwrap();
        assert_eq!(before, after);
    });
}

#[test]
fn a_rename_is_delivered_without_standing_still() {
    let mut bench = bench_with(Options {
        settle: Duration::from_secs(3),
        ..Options::default()
    });
    bench.deploy("a", "a1");
    let began = Instant::now();
    bench.deploy("a", "a2");
    assert!(
        began.elapsed() < Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn starting_names_what_is_wrong_with_the_directory() {
    let aside = tempfile::tempdir().unwrap();
    let missing = aside.path().join("missing");
    let error = Watcher::start(&missing, Options::default(), BTreeSet::new()).unwrap_err();
    assert!(matches!(error, StartError::Missing { .. }));
    assert!(
        error
            .to_string()
            .contains(&format!("mkdir -p {}", missing.display()))
    );

    let file = aside.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Watcher::start(&file, Options::default(), BTreeSet::new()).unwrap_err();
    assert!(matches!(error, StartError::NotADirectory { .. }), "{error}");
}
