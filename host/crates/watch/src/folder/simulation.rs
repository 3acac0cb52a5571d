//! A directory and a clock that exist only in memory, driving the model as the edge does, and
//! checking with every change that it is allowed.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::{Duration, SystemTime},
};

use proptest::prelude::*;

use super::{Folder, Look, Moment, Seen, Stamp, Take, Taken};
use crate::{Change, Content, Loss, Options, Problem};

/// Dates of the simulated file system come from a clock that ticks this often.
const TICK: u64 = 10;
/// As in the edge: longer than a tick.
const GRAIN: Duration = Duration::from_millis(50);
/// What an incomplete component ends with.
const CUT: char = '~';

/// What can stand in a simulated file besides plain text.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Large(u64),
    Cut(&'static str),
    CutAt(u64),
    NotText,
}

#[derive(Clone, Debug)]
struct Entry {
    bytes: Vec<u8>,
    seen: Seen,
}

#[derive(Debug)]
pub(super) struct World {
    folder: Folder,
    options: Options,
    now: u64,
    files: BTreeMap<String, Entry>,
    /// Since when looks did not see a component that they had seen.
    unseen: BTreeMap<String, u64>,
    done: BTreeSet<String>,
    device: u64,
    away: bool,
    inodes: u64,
    moving: bool,
    reads: usize,
    log: String,
    wanted: BTreeMap<String, (String, Option<String>)>,
    refused: BTreeSet<String>,
    lost: Option<Loss>,
}

impl World {
    pub(super) fn new(options: Options) -> Self {
        Self::known(options, &[])
    }

    /// The start of a later run: these names were delivered in the one before.
    pub(super) fn known(options: Options, names: &[&str]) -> Self {
        let directory = Path::new("agents");
        let known = names.iter().map(|name| (*name).to_owned()).collect();
        // Until it is delivered, nobody can say what the earlier run delivered.
        let before = |name: &&str| ((*name).to_owned(), ("before".to_owned(), None));
        Self {
            folder: Folder::new(directory, options, known),
            options,
            now: 0,
            files: BTreeMap::new(),
            unseen: BTreeMap::new(),
            done: BTreeSet::new(),
            device: 1,
            away: false,
            inodes: 0,
            moving: false,
            reads: 0,
            log: String::new(),
            wanted: names.iter().map(before).collect(),
            refused: BTreeSet::new(),
            lost: None,
        }
    }

    /// Everything that the model said since the log was read last, with the time in ms.
    pub(super) fn log(&self) -> String {
        self.log.clone()
    }

    pub(super) fn clear_log(&mut self) {
        self.log.clear();
    }

    pub(super) fn reads(&self) -> usize {
        self.reads
    }

    pub(super) fn wanted(&self) -> &BTreeMap<String, (String, Option<String>)> {
        &self.wanted
    }

    /// Writes into the file that is there, or makes one.
    pub(super) fn write(&mut self, file: &str, text: &str) {
        let len = text.len() as u64;
        self.put(file, text.as_bytes().to_vec(), len, false);
    }

    /// Renames a new file into place.
    pub(super) fn replace(&mut self, file: &str, text: &str) {
        let len = text.len() as u64;
        self.put(file, text.as_bytes().to_vec(), len, true);
    }

    pub(super) fn write_kind(&mut self, file: &str, kind: Kind) {
        let (bytes, len) = match kind {
            Kind::Large(len) => (Vec::new(), len),
            Kind::Cut(text) => (format!("{text}{CUT}").into_bytes(), text.len() as u64 + 1),
            Kind::CutAt(len) => (CUT.to_string().into_bytes(), len + 1),
            Kind::NotText => (vec![b'a', 0xff], 2),
        };
        self.put(file, bytes, len, false);
    }

    fn put(&mut self, file: &str, bytes: Vec<u8>, len: u64, anew: bool) {
        let inode = match self.files.get(file).map(|entry| &entry.seen) {
            Some(Seen::File(stamp)) if !anew => stamp.inode,
            _ => {
                self.inodes += 1;
                self.inodes
            }
        };
        let date = SystemTime::UNIX_EPOCH + Duration::from_millis(self.now / TICK * TICK);
        let stamp = Stamp {
            len,
            modified: Some(date),
            changed: Some(date),
            device: self.device,
            inode,
        };
        let seen = Seen::File(stamp);
        self.files.insert(file.to_owned(), Entry { bytes, seen });
    }

    pub(super) fn see(&mut self, file: &str, seen: Seen) {
        let bytes = Vec::new();
        self.files.insert(file.to_owned(), Entry { bytes, seen });
    }

    pub(super) fn remove(&mut self, file: &str) {
        self.files.remove(file);
    }

    /// The file's writer is known to be done.
    pub(super) fn hear(&mut self, file: &str) {
        self.done.insert(file.to_owned());
    }

    pub(super) fn device(&mut self, device: u64) {
        self.device = device;
    }

    pub(super) fn away(&mut self, away: bool) {
        self.away = away;
    }

    pub(super) fn move_under_reads(&mut self, moving: bool) {
        self.moving = moving;
    }

    /// Looks now, then whenever the model asks to, for so many milliseconds.
    pub(super) fn run(&mut self, millis: u64) {
        self.look();
        self.wait(millis);
    }

    /// Looks only when the model asks to.
    fn wait(&mut self, millis: u64) {
        let end = self.now + millis;
        loop {
            let now = self.moment();
            let wake = self.folder.wake(now);
            assert!(wake > now, "asked to look in the past");
            let wake = u64::try_from(wake.as_millis()).unwrap();
            if wake > end {
                self.now = end;
                return;
            }
            self.now = wake;
            self.look();
        }
    }

    pub(super) fn look(&mut self) {
        for name in NAMES.map(|name| format!("{name}.wasm")) {
            if self.away || self.files.contains_key(&name) {
                self.unseen.remove(&name);
            } else {
                self.unseen.entry(name).or_insert(self.now);
            }
        }
        let look = if self.away {
            let directory = "agents".into();
            Look::Lost(Loss::Missing { directory })
        } else {
            let seen = |(file, entry): (&String, &Entry)| (file.clone(), entry.seen.clone());
            Look::Listed {
                device: Some(self.device),
                files: self.files.iter().map(seen).collect(),
            }
        };
        let done = std::mem::take(&mut self.done);
        let changes = self.folder.observe(self.moment(), look, &done);
        self.hear_out(changes);
        while let Some(take) = self.folder.next_take() {
            self.reads += 1;
            let taken = self.read(&take);
            let changes = self.folder.taken(self.moment(), &take, taken);
            self.hear_out(changes);
        }
    }

    fn moment(&self) -> Moment {
        Duration::from_millis(self.now)
    }

    fn read(&self, take: &Take) -> Taken {
        let (component, config) = (format!("{}.wasm", take.name), format!("{}.toml", take.name));
        let unmoved = |file: &str, stamp| {
            let entry = self.files.get(file);
            entry.filter(|entry| entry.seen == Seen::File(stamp) && !self.moving)
        };
        let Some(read) = unmoved(&component, take.component) else {
            return Taken::Moved;
        };
        if is_cut(&read.bytes) {
            return Taken::Incomplete;
        }
        let bytes = read.bytes.clone();
        let config = match take.config.map(|stamp| unmoved(&config, stamp)) {
            None => None,
            Some(None) => return Taken::Moved,
            Some(Some(entry)) if entry.bytes.contains(&0xff) => {
                let (file, at) = (config, 1);
                return Taken::BadConfig(Problem::NotText { file, at });
            }
            Some(Some(entry)) => Some(Content::new(entry.bytes.clone().into())),
        };
        let now = SystemTime::UNIX_EPOCH + self.moment();
        let young = |stamp: &Stamp| {
            let age = stamp.changed.and_then(|date| now.duration_since(date).ok());
            age.is_none_or(|age| age < GRAIN)
        };
        let young = young(&take.component) || take.config.as_ref().is_some_and(young);
        Taken::Whole {
            component: Content::new(bytes.into()),
            config,
            again: young.then_some(GRAIN),
        }
    }

    /// Writes the changes down and checks each against what is really there.
    fn hear_out(&mut self, changes: Vec<Change>) {
        for change in changes {
            let line = match change {
                Change::Wanted {
                    name,
                    component,
                    config,
                    ..
                } => self.hear_wanted(name, &component, config.as_ref()),
                Change::Gone { name } => {
                    assert_eq!(self.lost, None, "removed while the directory is in doubt");
                    let gone = self
                        .unseen
                        .get(&format!("{name}.wasm"))
                        .expect("it is gone");
                    let grace = self.options.remove_grace.as_millis();
                    assert!(u128::from(self.now - gone) >= grace, "removed too early");
                    assert!(self.wanted.remove(&name).is_some(), "never delivered");
                    format!("gone {name}")
                }
                Change::Refused { file, problem, .. } => {
                    self.refused.insert(file);
                    format!("refused {problem}")
                }
                Change::Cleared { file, .. } => {
                    assert!(self.refused.remove(&file), "{file} was never refused");
                    format!("cleared {file}")
                }
                Change::DirectoryLost { why } => {
                    assert_ne!(self.lost.as_ref(), Some(&why), "said twice");
                    let line = format!("lost {why}");
                    self.lost = Some(why);
                    line
                }
                Change::DirectoryFound => {
                    assert!(self.lost.take().is_some(), "was never lost");
                    "found".to_owned()
                }
                Change::Polling { .. } => {
                    unreachable!("the model knows no events")
                }
            };
            self.log += &format!("{:<6} {line}\n", self.now);
        }
    }

    fn hear_wanted(
        &mut self,
        name: String,
        component: &Content,
        config: Option<&Content>,
    ) -> String {
        assert_eq!(self.lost, None, "delivered while the directory is in doubt");
        let text = |content: &Content| String::from_utf8(content.bytes.to_vec()).unwrap();
        let pair = (text(component), config.map(text));
        assert!(!is_cut(&component.bytes), "half a component delivered");
        let line = format!(
            "wanted {name} {} {}",
            pair.0,
            pair.1.as_deref().unwrap_or("-")
        );
        // Where files that are written again are to be delivered again, the tests say when.
        if !self.options.repeats {
            assert_ne!(self.wanted.get(&name), Some(&pair), "delivered twice");
        }
        self.wanted.insert(name, pair);
        line
    }

    /// Whether, after enough time, what was delivered is what the directory holds.
    fn assert_faithful(&self) {
        if let Some(Loss::AllVanished { .. }) = self.lost {
            let component = self.files.keys().find(|file| file.ends_with(".wasm"));
            assert_eq!(component, None, "not all vanished");
            assert!(!self.wanted.is_empty());
            return;
        }
        assert_eq!(self.lost, None);
        let mut refused = BTreeSet::new();
        for name in NAMES {
            let file = format!("{name}.wasm");
            let text = |file: &str| {
                let entry = self.files.get(file)?;
                Some(String::from_utf8(entry.bytes.clone()).unwrap())
            };
            match text(&file) {
                None => assert_eq!(self.wanted.get(name), None, "{name} was removed"),
                Some(bytes) if bytes.is_empty() || bytes.ends_with(CUT) => {
                    refused.insert(file);
                }
                Some(bytes) => {
                    let pair = (bytes, text(&format!("{name}.toml")));
                    assert_eq!(self.wanted.get(name), Some(&pair), "{name}");
                }
            }
        }
        assert_eq!(self.refused, refused);
    }
}

fn is_cut(bytes: &[u8]) -> bool {
    bytes.last() == Some(&(CUT as u8))
}

const NAMES: [&str; 3] = ["a", "b", "c"];
const TEXTS: [&str; 6] = ["", "x1", "x2", "x3", "x1~", "x4~"];

/// Something that happens to the directory or to the watcher.
#[derive(Clone, Debug)]
enum Happening {
    Write(String, &'static str),
    Replace(String, &'static str),
    Remove(String),
    RemoveAll,
    Hear(String),
    Look,
    Wait(u64),
    Away(bool),
    Device(u64),
}

fn file() -> impl Strategy<Value = String> {
    (prop::sample::select(&NAMES[..]), any::<bool>()).prop_map(|(name, component)| {
        let ending = if component { "wasm" } else { "toml" };
        format!("{name}.{ending}")
    })
}

fn happening() -> impl Strategy<Value = Happening> {
    let text = || prop::sample::select(&TEXTS[..]);
    prop_oneof![
        6 => (file(), text()).prop_map(|(file, text)| Happening::Write(file, text)),
        3 => (file(), text()).prop_map(|(file, text)| Happening::Replace(file, text)),
        3 => file().prop_map(Happening::Remove),
        1 => Just(Happening::RemoveAll),
        5 => file().prop_map(Happening::Hear),
        4 => Just(Happening::Look),
        6 => (0..12_u64).prop_map(Happening::Wait),
        4 => (12..7_000_u64).prop_map(Happening::Wait),
        1 => any::<bool>().prop_map(Happening::Away),
        1 => (1..3_u64).prop_map(Happening::Device),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens, and whichever of it is heard, the directory and what was delivered are
    /// the same in the end, and no step on the way was one that is never allowed.
    #[test]
    fn what_is_delivered_becomes_what_is_there(
        known in prop::sample::subsequence(&NAMES[..], 0..=NAMES.len()),
        happenings in prop::collection::vec(happening(), 1..60),
    ) {
        let mut world = World::known(Options::default(), &known);
        for happening in happenings {
            match happening {
                Happening::Write(file, text) => world.write(&file, text),
                Happening::Replace(file, text) => world.replace(&file, text),
                Happening::Remove(file) => world.remove(&file),
                Happening::RemoveAll => NAMES.iter().for_each(|name| world.remove(&format!("{name}.wasm"))),
                Happening::Hear(file) => world.hear(&file),
                Happening::Look => world.look(),
                Happening::Wait(millis) => world.wait(millis),
                Happening::Away(away) => world.away(away),
                Happening::Device(device) => world.device(device),
            }
        }
        world.away(false);
        world.device(1);
        world.wait(30_000);
        if matches!(world.lost, Some(Loss::OtherDevice { .. })) {
            // Accepted once everything that was delivered is there.
            for name in NAMES {
                world.write(&format!("{name}.wasm"), "x5");
            }
            world.wait(30_000);
        }
        world.assert_faithful();
        let log = world.log();
        world.wait(60_000);
        prop_assert_eq!(log, world.log(), "something was said although nothing happened");
    }
}
