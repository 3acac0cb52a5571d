use std::time::Duration;

use super::*;

fn memory(name: &str, serving: u64) -> Memory {
    Memory {
        agent: name.parse().unwrap(),
        next: None,
        wanted: None,
        serving: caxton_rollout::VersionNumber::new(serving),
        permanent: None,
        kept: Vec::new(),
        versions: Vec::new(),
        reload: None,
        endings: Vec::new(),
        history: Vec::new(),
        removed_at: None,
        last_error: None,
        rollbacks: Vec::new(),
    }
}

type Answers = Arc<Mutex<Vec<Result<(), String>>>>;

fn reply(answers: &Answers) -> Option<Reply> {
    let answers = Arc::clone(answers);
    Some(Box::new(move |answer| answers.lock().unwrap().push(answer)))
}

fn serving(backlog: &Backlog) -> Option<u64> {
    let memory = backlog.memories.values().next()?.memory()?;
    memory.serving.map(|number| number.get())
}

fn event(kind: &str) -> Item {
    Item::Event(Event {
        at: Moment(0),
        agent: None,
        reload: None,
        kind: kind.to_owned(),
        detail: "{}".to_owned(),
    })
}

#[test]
fn what_was_refused_is_as_if_it_had_never_been() {
    // What is handed over, whether somebody waits for it; and what is left after a refusal.
    type Steps = &'static [(u64, bool)];
    let cases: [(Steps, Option<u64>); 6] = [
        (&[(1, false)], Some(1)),
        (&[(1, true)], None),
        (&[(1, false), (2, true)], Some(1)),
        (&[(1, true), (2, false)], Some(2)),
        (&[(1, false), (2, true), (3, false)], Some(3)),
        (&[(1, false), (2, true), (3, false), (4, true)], Some(3)),
    ];
    for (steps, left) in cases {
        // However it is cut into two between what is taken and what comes later.
        for cut in 0..=steps.len() {
            let answers = Answers::default();
            let (mut first, mut second) = (Backlog::default(), Backlog::default());
            for (at, (number, asked)) in steps.iter().enumerate() {
                let backlog = if at < cut { &mut first } else { &mut second };
                let reply = asked.then(|| reply(&answers)).flatten();
                backlog.remember(memory("a", *number), reply);
            }
            first.absorb(second);
            assert_eq!(serving(&first), steps.last().map(|(number, _)| *number));
            first.refuse("full");
            assert_eq!(serving(&first), left, "{steps:?} cut at {cut}");
            let asked = steps.iter().filter(|(_, asked)| *asked).count();
            assert_eq!(
                *answers.lock().unwrap(),
                vec![Err("full".to_owned()); asked]
            );
        }
    }
}

#[test]
fn what_was_remembered_before_an_agent_was_forgotten_is_gone_and_what_comes_later_counts() {
    type Step = Option<(u64, bool)>;
    // None is the forgetting; then what is to be written, and what is left after a refusal.
    let cases: [(&[Step], Option<u64>, Option<u64>); 4] = [
        (&[Some((1, false)), None], None, None),
        (&[Some((1, true)), None], None, None),
        (&[Some((1, false)), None, Some((2, true))], Some(2), None),
        (&[Some((1, true)), None, Some((2, false))], Some(2), Some(2)),
    ];
    for (steps, to_write, left) in cases {
        for cut in 0..=steps.len() {
            let answers = Answers::default();
            let (mut first, mut second) = (Backlog::default(), Backlog::default());
            for (at, step) in steps.iter().enumerate() {
                let backlog = if at < cut { &mut first } else { &mut second };
                match step {
                    Some((number, asked)) => {
                        let reply = asked.then(|| reply(&answers)).flatten();
                        backlog.remember(memory("a", *number), reply);
                    }
                    None => backlog.forget("a".parse().unwrap()),
                }
            }
            first.absorb(second);
            let forgotten = |backlog: &Backlog| {
                backlog
                    .memories
                    .values()
                    .all(|waiting| waiting.is_forgotten)
            };
            assert_eq!(serving(&first), to_write, "{steps:?} cut at {cut}");
            first.refuse("full");
            assert_eq!(serving(&first), left, "{steps:?} cut at {cut}");
            assert!(forgotten(&first) && first.memories.len() == 1);
            let asked = steps.iter().flatten().filter(|(_, asked)| *asked).count();
            assert_eq!(answers.lock().unwrap().len(), asked, "answered at once");
        }
    }
}

#[test]
fn everybody_who_waits_is_answered_once_it_is_written() {
    let answers = Answers::default();
    let mut backlog = Backlog::default();
    backlog.remember(memory("a", 1), reply(&answers));
    backlog.remember(memory("a", 2), reply(&answers));
    backlog.remember(memory("b", 1), reply(&answers));
    let refused = BTreeMap::from([("b".parse().unwrap(), "no".to_owned())]);
    backlog.done(&refused);
    assert!(backlog.is_empty());
    assert_eq!(
        *answers.lock().unwrap(),
        [Ok(()), Ok(()), Err("no".to_owned())]
    );
}

#[test]
fn what_waits_is_bounded_and_the_oldest_event_goes_first() {
    let mut backlog = Backlog::default();
    backlog.push(Item::Over(HotReloadId::from_random_bits(1)));
    for kind in 0..ITEMS_WAITING + 5 {
        backlog.push(event(&kind.to_string()));
    }
    assert_eq!((backlog.items.len(), backlog.dropped), (ITEMS_WAITING, 6));
    assert!(matches!(backlog.items[0], Item::Over(_)));
    assert!(matches!(&backlog.items[1], Item::Event(event) if event.kind == "6"));
    let mut older = Backlog::default();
    for _ in 0..ITEMS_WAITING {
        older.push(Item::Over(HotReloadId::from_random_bits(1)));
    }
    older.absorb(backlog);
    assert_eq!(older.items.len(), ITEMS_WAITING);
    assert_eq!(older.dropped, 6 + ITEMS_WAITING as u64);
}

#[test]
fn records_that_wait_are_bounded_by_their_bytes() {
    let shared = Shared::new();
    assert!(shared.reserve(RECORD_BYTES_WAITING));
    assert!(!shared.reserve(1));
    shared.release(1);
    assert!(shared.reserve(1));
}

#[test]
fn whoever_takes_waits_no_longer_than_asked_for_and_not_at_all_once_it_is_closed() {
    let shared = Shared::new();
    assert!(shared.take(Instant::now()).backlog.is_empty());
    assert!(shared.hand_over(|backlog| backlog.push(event("a"))));
    let in_an_hour = Instant::now() + Duration::from_secs(60 * 60);
    let taken = shared.take(in_an_hour);
    assert_eq!((taken.backlog.items.len(), taken.last), (1, 1));
    shared.close();
    assert!(shared.take(in_an_hour).closed);
    assert!(!shared.hand_over(|backlog| backlog.push(event("b"))));
    assert_eq!(shared.position(), 1);
}

#[test]
fn what_versions_reloads_and_states_rest_on_is_dropped_last_and_told() {
    let act = |agent: &str| {
        Item::Act(Act {
            at: Moment(0),
            agent: agent.parse().unwrap(),
            order: "retry".to_owned(),
            refused: None,
        })
    };
    let pins = |bits| {
        let id = HotReloadId::from_random_bits(bits);
        Item::Pins("a".parse().unwrap(), id, Vec::new())
    };
    let mut backlog = Backlog::default();
    backlog.push(pins(0));
    backlog.push(act("a"));
    for bits in 1..ITEMS_WAITING as u128 {
        backlog.push(pins(bits));
    }
    assert!(
        !backlog
            .items
            .iter()
            .any(|item| matches!(item, Item::Act(_)))
    );
    assert_eq!(
        (backlog.items.len(), backlog.missing.len()),
        (ITEMS_WAITING, 0)
    );
    backlog.push(pins(u128::MAX));
    let first = HotReloadId::from_random_bits(0).to_string();
    assert!(backlog.missing[0].contains(&first), "{:?}", backlog.missing);
    assert_eq!(backlog.dropped, 2);
    let mut newer = Backlog::default();
    newer.absorb(backlog);
    assert_eq!(newer.missing.len(), 1);
}
