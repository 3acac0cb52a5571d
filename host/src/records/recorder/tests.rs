//! Bounds and losses on the way to the disk, and what is read back.

use caxton_rollout::Arm;

use super::super::Selection;
use super::*;

fn agent() -> AgentName {
    "shop".parse().unwrap()
}

fn reload(number: u128) -> HotReloadId {
    HotReloadId::from_random_bits(number)
}

fn told(text: &str) -> Record {
    let event = json!({ "text": text });
    Record::Told { event }
}

fn ended() -> Record {
    let result = json!({ "status": "completed" });
    Record::Ended { result }
}

fn recorded() -> Recorded {
    let mut trail = Trail::new(agent(), reload(1));
    assert_eq!(trail.began(Moment(1), Vec::new()).len(), 1);
    Recorded {
        agent: agent(),
        trail,
        begun: false,
        bytes: 0,
        keeps: Keeps::All,
    }
}

fn read(batch: Option<Batch>) -> Vec<Record> {
    let bytes = batch.map(|batch| batch.bytes).unwrap_or_default();
    let text = String::from_utf8(bytes).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn a_full_file_says_so_once_and_has_its_results_all_the_same() {
    let mut recorded = recorded();
    let mut batch = |records: &[Record]| recorded.batch(Moment(9), reload(1), records, 200);
    assert_eq!(read(batch(&[told("a")])), [told("a")]);
    let long = told(&"x".repeat(200));
    let full = Record::Full { at: Moment(9) };
    assert_eq!(read(batch(&[long.clone(), ended()])), [full, ended()]);
    assert_eq!(read(batch(std::slice::from_ref(&long))), []);
    assert_eq!(read(batch(&[long, ended()])), [ended()]);
}

#[test]
fn lost_lines_are_told_and_nothing_stands_after_them_but_results() {
    let mut recorded = recorded();
    let batch = |recorded: &mut Recorded, records: &[Record]| {
        read(recorded.batch(Moment(9), reload(1), records, 10_000))
    };
    assert_eq!(batch(&mut recorded, &[told("a")]), [told("a")]);
    assert!(recorded.lose("the disk is slow"));
    let lines = batch(&mut recorded, &[told("b")]);
    let [Record::Told { event }, Record::Full { .. }] = &lines[..] else {
        panic!("{lines:?}");
    };
    assert_eq!(event["kind"], "records-lost");
    assert!(event["reason"].as_str().unwrap().contains("disk is slow"));
    // The next tick goes wrong in the same way, and nobody has to hear of it again.
    assert!(!recorded.lose("the disk is slow"));
    assert_eq!(batch(&mut recorded, &[told("c")]), []);
    assert_eq!(batch(&mut recorded, &[told("d"), ended()]), [ended()]);
}

#[test]
fn figures_come_back_to_the_last_bit() {
    let mut random = fastrand::Rng::with_seed(5);
    for _ in 0..2_000 {
        let arm = Arm {
            requests: random.u64(..),
            ..Arm::default()
        };
        let window = Window {
            split_actual: Some(random.f32() * 100.0),
            candidate: Some(arm),
            ..Window::default()
        };
        let record = Record::Window(Box::new(window));
        let back: Record = serde_json::from_slice(&line(&record).unwrap()).unwrap();
        assert_eq!(back, record);
    }
}

#[tokio::test]
async fn what_was_recorded_is_found_by_reload_by_agent_and_by_time() {
    let folder = tempfile::tempdir().unwrap();
    let (mut recorder, reader) = Recorder::start(folder.path()).unwrap();
    for (number, name) in [(1, "shop"), (2, "till"), (3, "shop")] {
        let agent = name.parse().unwrap();
        recorder.pins(&agent, reload(number), BTreeMap::new());
        let at = Moment(100 - u64::try_from(number).unwrap());
        recorder.pinned(at, reload(number), |_| Vec::new());
    }
    // Never judged: nothing to find.
    recorder.pins(&agent(), reload(4), BTreeMap::new());
    assert!(reader.is_written().await);
    let found = |wanted: Selection| -> Vec<_> {
        let stored = reader.list(&wanted);
        stored.iter().map(|stored| stored.began.0).collect()
    };
    assert_eq!(found(Selection::default()), [97, 98, 99]);
    let of_reload = |number| Selection {
        reload: Some(reload(number)),
        ..Selection::default()
    };
    assert_eq!(found(of_reload(2)), [98]);
    assert!(found(of_reload(4)).is_empty());
    let of_agent = |since| Selection {
        agent: Some(agent()),
        since,
        ..Selection::default()
    };
    assert_eq!(found(of_agent(None)), [97, 99]);
    assert_eq!(found(of_agent(Some(Moment(1)))), [97, 99]);
    assert!(found(of_agent(Some(Moment(u64::MAX)))).is_empty());
    recorder.stop().await;
}
