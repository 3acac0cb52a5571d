//! Files as they are written, with small bounds.

use std::thread::JoinHandle;

use caxton_rollout::Moment;
use serde_json::json;

use super::*;
use crate::records::queue::Queue;

struct Disk {
    folder: tempfile::TempDir,
    queue: Queue,
    thread: Option<JoinHandle<()>>,
}

impl Disk {
    fn new(file_max: u64, all_max: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (queue, jobs) = Queue::new();
        let writer = Writer::new(
            folder.path().join("records"),
            queue.health(),
            file_max,
            all_max,
        );
        let thread = Some(std::thread::spawn(move || writer.run(jobs)));
        Self {
            folder,
            queue,
            thread,
        }
    }

    fn records(&self) -> PathBuf {
        self.folder.path().join("records")
    }

    fn file(&self, reload: HotReloadId) -> PathBuf {
        path(&self.records(), &agent(), reload)
    }

    fn batch(&self, reload: HotReloadId, text: &str, begins: bool, ends: bool) {
        let event = json!({ "text": text });
        let bytes = line(&Record::Told { event }).unwrap();
        assert!(self.queue.write(Batch {
            agent: agent(),
            reload,
            at: Moment(7),
            bytes,
            lines: 1,
            begins,
            ends,
        }));
    }

    async fn flushed(&self) {
        assert!(self.queue.flush().await);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.queue = Queue::new().0;
        self.thread.take().unwrap().join().unwrap();
    }
}

fn agent() -> AgentName {
    "shop".parse().unwrap()
}

fn reload(number: u128) -> HotReloadId {
    HotReloadId::from_random_bits(number)
}

fn lines(path: &Path) -> Vec<Record> {
    let text = fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test]
async fn what_was_handed_over_is_there_after_a_flush_and_private() {
    let disk = Disk::new(1_000, 10_000);
    let (first, unknown) = (reload(1), reload(2));
    disk.batch(first, "a", true, false);
    disk.batch(first, "b", false, false);
    disk.batch(unknown, "nobody began it", false, true);
    disk.flushed().await;
    assert_eq!(lines(&disk.file(first)).len(), 2);
    assert!(!disk.file(unknown).exists());
    assert!(disk.queue.health().attention().is_none());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&disk.file(first)), 0o600);
        assert_eq!(mode(&disk.records()), 0o700);
        assert_eq!(mode(&disk.records().join("shop")), 0o700);
    }
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_loses_lines_and_says_so_until_it_can() {
    let disk = Disk::new(10_000, 100_000);
    fs::write(disk.records(), "in the way").unwrap();
    for begins in [true, false, false] {
        disk.batch(reload(1), "a", begins, false);
    }
    disk.flushed().await;
    let attention = disk.queue.health().attention().unwrap();
    assert_eq!(attention.kind, "records-lost");
    assert_eq!(attention.since, Moment(7));
    assert!(
        attention.text.contains("3 lines") && attention.text.contains("records"),
        "{}",
        attention.text
    );
    assert!(attention.command.contains("make room"));

    fs::remove_file(disk.records()).unwrap();
    disk.batch(reload(1), "its beginning is lost", false, true);
    disk.flushed().await;
    assert!(!disk.file(reload(1)).exists());
    disk.batch(reload(2), "b", true, false);
    disk.flushed().await;
    assert_eq!(lines(&disk.file(reload(2))).len(), 1);
    assert!(disk.queue.health().attention().is_none());
}

#[tokio::test]
async fn a_reload_that_lost_lines_has_its_result_and_says_that_there_is_more() {
    let disk = Disk::new(10_000, 100_000);
    disk.batch(reload(1), "a", true, false);
    disk.flushed().await;
    let (file, aside) = (disk.file(reload(1)), disk.folder.path().join("aside"));
    fs::rename(&file, &aside).unwrap();
    fs::create_dir(&file).unwrap();
    disk.batch(reload(1), "lost", false, false);
    disk.flushed().await;
    fs::remove_dir(&file).unwrap();
    fs::rename(&aside, &file).unwrap();
    disk.batch(reload(1), "left out", false, false);
    disk.batch(reload(1), "result", false, true);
    disk.flushed().await;
    let lines = lines(&file);
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert_eq!(lines[1], Record::Full { at: Moment(7) });
}

#[tokio::test]
async fn the_oldest_files_make_room_and_those_that_go_on_stay() {
    let disk = Disk::new(10_000, 2_000);
    let text = "x".repeat(300);
    for number in 1..=5 {
        disk.batch(reload(number), &text, true, false);
        disk.flushed().await;
        if number != 1 {
            disk.queue.close(reload(number));
        }
        // The file system may not tell moments apart that are closer.
        let age = std::time::Duration::from_secs(100 - u64::try_from(number).unwrap());
        let file = File::options()
            .append(true)
            .open(disk.file(reload(number)))
            .unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
    }
    disk.batch(reload(6), &text, true, false);
    disk.flushed().await;
    let there: Vec<_> = (1..=6).filter(|n| disk.file(reload(*n)).exists()).collect();
    assert_eq!(there, [1, 3, 4, 5, 6], "one was enough");
}

#[tokio::test]
async fn results_of_a_file_that_is_full_have_a_bound_too() {
    let disk = Disk::new(100, 100_000_000);
    let text = "x".repeat(300_000);
    disk.batch(reload(1), "a", true, false);
    for _ in 0..10 {
        disk.batch(reload(1), &text, false, true);
    }
    disk.flushed().await;
    let size = fs::metadata(disk.file(reload(1))).unwrap().len();
    assert!(size > 600_000 && size <= 100 + ENDED_BYTES_MAX, "{size}");
}

#[test]
fn room_is_looked_for_again_only_where_some_may_have_come() {
    let folder = tempfile::tempdir().unwrap();
    let records = folder.path().join("records");
    let mut writer = Writer::new(records.clone(), Arc::default(), 100_000, 1_000);
    let write = |writer: &mut Writer, number: u128, size: usize, begins: bool| {
        writer.take(Batch {
            agent: agent(),
            reload: reload(number),
            at: Moment(7),
            bytes: vec![b'\n'; size],
            lines: 1,
            begins,
            ends: false,
        });
    };
    // Reloads that go on have all the room that there is.
    write(&mut writer, 1, 600, true);
    write(&mut writer, 2, 600, true);
    // What a look at the folder would find and remove.
    let old = path(&records, &agent(), reload(9));
    fs::write(&old, "old\n").unwrap();
    for _ in 0..10 {
        write(&mut writer, 1, 10, false);
        assert!(old.exists());
    }
    // A tenth more was written.
    write(&mut writer, 1, 10, false);
    assert!(!old.exists());

    fs::write(&old, "old\n").unwrap();
    writer.close(reload(9));
    write(&mut writer, 1, 1, false);
    assert!(old.exists(), "a reload was closed that was not open");
    writer.close(reload(2));
    write(&mut writer, 1, 1, false);
    assert!(!path(&records, &agent(), reload(2)).exists());
    assert!(path(&records, &agent(), reload(1)).exists());
}
