use std::time::{SystemTime, UNIX_EPOCH};

use super::*;

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn print_at(logs: &AgentLogs, agent: &str, text: &str, at: SystemTime) {
    logs.keep(&LogLine {
        agent: agent.into(),
        version: 1,
        stream: LogStream::Stdout,
        text: text.to_owned(),
        dropped_before: 0,
        at,
    });
}

fn print(logs: &AgentLogs, agent: &str, text: &str) {
    print_at(logs, agent, text, at(1));
}

fn name(text: &str) -> AgentName {
    text.parse().unwrap()
}

fn texts(found: &Found) -> Vec<&str> {
    found.items.iter().map(|line| line.text.as_str()).collect()
}

#[test]
fn a_flood_pushes_out_its_own_lines_only() {
    let logs = AgentLogs::default();
    print(&logs, "quiet", "the one line");
    for n in 0..MAX_LINES * 3 {
        print(&logs, "flood", &n.to_string());
    }
    assert_eq!(texts(&logs.since(&name("quiet"), 0)), ["the one line"]);
    let flood = logs.since(&name("flood"), 0);
    assert_eq!(texts(&flood)[0], (MAX_LINES * 2).to_string());
    assert_eq!(
        logs.lock().agents["flood"].since(0, usize::MAX).items.len(),
        MAX_LINES
    );
}

#[test]
fn bytes_are_bounded_for_each_and_for_all_and_the_largest_gives_way() {
    let logs = AgentLogs::default();
    print(&logs, "small", "kept");
    let long = "x".repeat(8 << 10);
    for agent in 0..80 {
        for _ in 0..40 {
            print(&logs, &format!("a{agent}"), &long);
        }
    }
    let book = logs.lock();
    assert!(book.bytes <= MAX_ALL_BYTES && book.bytes > MAX_ALL_BYTES / 2);
    let summed: usize = book.agents.values().map(Ring::bytes).sum();
    assert_eq!(book.bytes, summed);
    assert!(book.agents.values().all(|ring| ring.bytes() <= MAX_BYTES));
    assert_eq!(book.agents["small"].since(0, 10).items.len(), 1);
    assert!(book.agents.values().all(|ring| ring.bytes() > 0));
}

#[test]
fn a_reader_goes_on_where_it_stopped_and_is_told_what_it_missed() {
    let logs = AgentLogs::default();
    print(&logs, "a", "one");
    print(&logs, "b", "between");
    print(&logs, "a", "two");
    let first = logs.since(&name("a"), 0);
    assert_eq!(texts(&first), ["one", "two"]);
    assert!(logs.since(&name("a"), first.position).items.is_empty());
    for n in 0..MAX_LINES + 5 {
        print(&logs, "a", &n.to_string());
    }
    let second = logs.since(&name("a"), first.position);
    assert_eq!((second.missed, texts(&second)[0]), (5, "5"));
    let third = logs.since(&name("a"), second.position);
    assert_eq!((third.missed, texts(&third)[0]), (0, "261"));
}

#[test]
fn a_position_of_an_earlier_process_begins_with_the_oldest_line_and_is_told() {
    let logs = AgentLogs::default();
    print(&logs, "b", "another's");
    print(&logs, "a", "one");
    let found = logs.since(&name("a"), 500);
    assert_eq!((texts(&found), found.missed), (vec!["one"], 0));
    assert!(found.gap().is_some());
    let found = logs.since(&name("a"), found.position);
    assert!(found.items.is_empty() && found.gap().is_none());
}

#[test]
fn an_agent_that_is_gone_leaves_nothing_behind_and_one_that_runs_keeps_its_lines() {
    let logs = AgentLogs::default();
    print_at(&logs, "gone", "last words", at(10));
    print_at(&logs, "runs", "long ago", at(10));
    let late = Moment::default().after(Duration::from_secs(10) + KEPT_WHEN_GONE);
    logs.tidy(Moment::default().after(Duration::from_secs(60)), |agent| {
        agent == "runs"
    });
    assert!(logs.knows(&name("gone")));
    let seen = logs.since(&name("gone"), 0).position;
    logs.tidy(late, |agent| agent == "runs");
    assert!(!logs.knows(&name("gone")) && logs.knows(&name("runs")));
    print(&logs, "gone", "back");
    // Its numbers go on, so that whoever followed it all the time sees what is new.
    assert_eq!(texts(&logs.since(&name("gone"), seen)), ["back"]);
    logs.tidy(Moment::default().after(KEPT_WHEN_GONE * 3), |_| false);
    let book = logs.lock();
    assert_eq!((book.agents.len(), book.bytes), (0, 0));
}

#[tokio::test]
async fn a_follower_waits_and_misses_nothing_that_is_still_there() {
    let logs = Arc::new(AgentLogs::default());
    print(&logs, "a", "before");
    let mut follower = logs.follow(name("a"), 0);
    assert_eq!(texts(&follower.next().await), ["before"]);
    let printer = Arc::clone(&logs);
    let printing = tokio::spawn(async move {
        for n in 0..500 {
            print(&printer, "b", "other");
            print(&printer, "a", &n.to_string());
            tokio::task::yield_now().await;
        }
    });
    let mut seen = Vec::new();
    while seen.len() < 500 {
        let found = follower.next().await;
        assert_eq!(found.missed, 0);
        seen.extend(
            found
                .items
                .iter()
                .map(|line| line.text.parse::<u32>().unwrap()),
        );
    }
    printing.await.unwrap();
    assert_eq!(seen, (0..500).collect::<Vec<_>>());
}
