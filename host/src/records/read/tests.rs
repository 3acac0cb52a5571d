use expect_test::expect;

use super::course::COMING_MAX;
use super::*;
use crate::records::Record;
use crate::replay::recorded::{Recording, taken_back, text};

fn read(text: impl Into<Vec<u8>>) -> (Vec<Happening>, Vec<String>, Option<String>) {
    let mut records = Records::given("r.jsonl", std::io::Cursor::new(text.into()));
    let mut happenings = Vec::new();
    let error = loop {
        match records.read() {
            Ok(Some(happening)) => happenings.push(happening),
            Ok(None) => break None,
            Err(error) => break Some(error.to_string()),
        }
    };
    let notices = records
        .take_notices()
        .iter()
        .map(Notice::to_string)
        .collect();
    (happenings, notices, error)
}

fn rounds(happenings: &[Happening]) -> Vec<&Round> {
    happenings
        .iter()
        .filter_map(|happening| match happening {
            Happening::Round(round) => Some(&**round),
            _ => None,
        })
        .collect()
}

#[tokio::test]
async fn every_call_is_rebuilt() {
    let recording = taken_back(1).await;
    let (happenings, notices, error) = read(recording.text());
    assert_eq!((notices, error), (Vec::new(), None));
    let rounds = rounds(&happenings);
    assert_eq!(rounds.len(), 10);
    for (index, round) in rounds.iter().enumerate() {
        let question = &round.question;
        assert_eq!(question.windows.len(), index + 1);
        assert_eq!(question.context.elapsed_ms, (index as u64 + 1) * 1_000);
        assert_eq!(question.context.seed, 42, "from the facts");
    }
    assert_eq!(rounds[0].question.context.split, 10);
    assert_eq!(rounds[9].question.context.split, 100);
    let asked: u64 = rounds[9]
        .question
        .windows
        .iter()
        .filter_map(|window| window.candidate.as_ref())
        .map(|arm| arm.requests)
        .sum();
    assert_eq!(rounds[9].question.metrics.requests_processed, asked);
}

#[tokio::test]
async fn figures_come_back_to_the_last_bit() {
    let recording = taken_back(1).await;
    let lines = recording.text();
    let again: Vec<Record> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(again, recording.lines);
    assert_eq!(text(&again), lines);
}

#[tokio::test]
async fn windows_that_came_after_the_question_are_not_in_it() {
    let mut recording = taken_back(1).await;
    // The window of the second round was measured while the first was still being answered.
    let at = |lines: &[Record], nth: usize, is: fn(&Record) -> bool| {
        let mut found = lines.iter().enumerate().filter(|(_, record)| is(record));
        found.nth(nth).unwrap().0
    };
    let second = at(&recording.lines, 1, |r| matches!(r, Record::Window(_)));
    let first_tick = at(&recording.lines, 0, |r| matches!(r, Record::Tick(_)));
    let window = recording.lines.remove(second);
    recording.lines.insert(first_tick, window);
    let (happenings, _, error) = read(recording.text());
    assert_eq!(error, None);
    let shown: Vec<usize> = rounds(&happenings)
        .iter()
        .map(|round| round.question.windows.len())
        .collect();
    assert_eq!(shown, (1..=10).collect::<Vec<_>>());
}

#[tokio::test]
async fn states_are_handed_on_from_call_to_call() {
    let mut recording = taken_back(1).await;
    let mut seen = 0;
    for record in &mut recording.lines {
        if let Record::Tick(tick) = record {
            seen += 1;
            let call = &mut tick.rollback[0];
            match seen {
                1 => call.state = Some("AQ==".to_owned()),
                3 => call.given = Some("AgI=".to_owned()),
                _ => {}
            }
        }
    }
    let (happenings, _, error) = read(recording.text());
    assert_eq!(error, None);
    let states: Vec<_> = rounds(&happenings)
        .iter()
        .take(4)
        .map(|round| {
            (
                round.rollback[0].state.clone(),
                round.rollback[0].next_state.clone(),
            )
        })
        .collect();
    assert_eq!(
        states,
        [
            (vec![], vec![1]),
            (vec![1], vec![1]),
            (vec![2, 2], vec![2, 2]),
            (vec![2, 2], vec![2, 2])
        ]
    );
}

#[tokio::test]
async fn a_file_that_is_cut_off_is_used_up_to_there() {
    let whole = taken_back(1).await.text();
    let cut = &whole[..whole.rfind("{\"record\":\"told\"").unwrap() - 100];
    let (happenings, notices, error) = read(cut);
    assert_eq!(error, None);
    assert_eq!(rounds(&happenings).len(), 9);
    expect![[r#"
        [
            "r.jsonl, line 23: the file is cut off in this line; it is used up to the line before",
        ]
    "#]]
    .assert_debug_eq(&notices);
    // Another file after it on the same line.
    let (happenings, notices, error) = read(format!("{cut}{whole}"));
    assert_eq!(error, None);
    assert_eq!(rounds(&happenings).len(), 19);
    assert_eq!(notices.len(), 1, "{notices:?}");
    // Cut right after a whole record, which needs no line end.
    let (_, notices, error) = read(whole.trim_end());
    assert_eq!((notices, error), (Vec::new(), None));
}

#[tokio::test]
async fn kinds_of_a_newer_host_are_passed_over_and_told_once() {
    let mut text = taken_back(1).await.text();
    text += "{\"record\":\"dreamt\",\"of\":7}\n{\"record\":\"dreamt\",\"of\":8}\n";
    let (_, notices, error) = read(text);
    assert_eq!(error, None);
    expect![[r#"
        [
            "r.jsonl, line 26: there is no record of the kind \"dreamt\" for this host; a newer one may know it. Lines of this kind are passed over",
        ]
    "#]]
    .assert_debug_eq(&notices);
}

#[tokio::test]
async fn what_is_damaged_is_told_with_its_place() {
    let whole = taken_back(1).await.text();
    let lines: Vec<&str> = whole.lines().collect();
    let without = |at: usize| {
        let mut left = lines.clone();
        left.remove(at);
        left.join("\n")
    };
    let problems = [
        ("nothing of ours", "hello\n".to_owned()),
        ("other JSON", "[1, 2]\n{}\n".to_owned()),
        ("without a kind", "{\"kind\":\"swapped\"}\n".to_owned()),
        ("without its beginning", without(0)),
        ("without its facts", without(1)),
        ("without a window", without(3)),
        (
            "a newer format",
            whole.replacen("caxton-records/1", "caxton-records/2", 1),
        ),
        (
            "torn in the middle",
            whole.replacen("\"rollback\":[", "\"rollback\":", 1),
        ),
        (
            "a wrong type",
            whole.replacen("\"windows\":1", "\"windows\":\"one\"", 1),
        ),
        (
            "no base64",
            whole.replacen("\"duration-us\":", "\"state\":\"*\",\"duration-us\":", 2),
        ),
        ("binary", "\u{0}\u{1}\u{2}\n".to_owned()),
    ];
    let told: String = problems
        .iter()
        .map(|(what, text)| format!("{what}: {}\n", read(text.clone()).2.unwrap_or_default()))
        .collect();
    expect![[r#"
        nothing of ours: r.jsonl, line 1: it is no decision record: every line is a JSON object with a field "record", as `caxton records` writes it
        other JSON: r.jsonl, line 1: it is no decision record: every line is a JSON object with a field "record", as `caxton records` writes it
        without a kind: r.jsonl, line 1: it is no decision record: missing field `record`
        without its beginning: r.jsonl, line 1: no reload has begun before it: records begin with a line whose "record" is "began"; was the beginning cut off?
        without its facts: r.jsonl, line 2: a policy was asked, and no line before it says about what ("record": "facts"); is a line missing?
        without a window: r.jsonl, line 4: a policy was shown 1 windows, and 0 stand before it; are lines missing?
        a newer format: r.jsonl, line 1: these records have the format "caxton-records/2", and this command knows caxton-records/1; read them with the caxton that wrote them
        torn in the middle: r.jsonl, line 5: it is not JSON, at column 1217; was the file changed or put together from pieces?
        a wrong type: r.jsonl, line 5: it is no decision record: invalid type: string "one", expected u64
        no base64: r.jsonl, line 5: the state of policy thresholds is no base64: Invalid symbol 42, offset 0.
        binary: r.jsonl, line 1: it is no decision record: every line is a JSON object with a field "record", as `caxton records` writes it
    "#]].assert_eq(&told);
}

#[test]
fn a_line_without_an_end_takes_bounded_memory() {
    let mut records = Records::given(
        "r.jsonl",
        std::io::Read::take(std::io::repeat(b' '), u64::MAX),
    );
    let error = records.read().unwrap_err().to_string();
    expect!["r.jsonl, line 1: it is longer than 16777216 bytes; no decision record is"]
        .assert_eq(&error);
}

#[test]
fn files_that_are_not_there_are_named() {
    let mut records = Records::of_files(&["/nowhere/r.jsonl".into()]);
    let error = records.read().unwrap_err().to_string();
    assert!(
        error.starts_with("/nowhere/r.jsonl: cannot be read: "),
        "{error}"
    );
    let mut records = Records::of_files(&[std::env::temp_dir()]);
    let error = records.read().unwrap_err().to_string();
    assert!(error.contains("is a directory"), "{error}");
}

#[tokio::test]
async fn a_long_reload_shows_its_policies_no_more_windows_than_they_saw() {
    let mut recording = Recording::begin(1, serde_json::json!({})).await;
    recording.rounds(130, ((0, 3), (0, 3))).await;
    let (happenings, _, error) = read(recording.text());
    assert_eq!(error, None);
    let last = rounds(&happenings).pop().unwrap().question.windows.len();
    assert_eq!(last, caxton_rollout::MAX_WINDOWS);
}

#[tokio::test]
async fn however_many_windows_stand_before_a_round_all_of_them_count() {
    let mut recording = taken_back(1).await;
    let quiet = 2 * COMING_MAX as u64;
    // Between the first window and its round: rounds in which nothing ended are left out, and their windows are not.
    let place = |record: &Record| matches!(record, Record::Tick(_));
    let first_tick = recording.lines.iter().position(place).unwrap();
    let between = (0..quiet).map(|_| Record::Window(Box::default()));
    recording.lines.splice(first_tick..first_tick, between);
    for record in &mut recording.lines {
        if let Record::Tick(tick) = record {
            tick.windows += quiet;
        }
    }
    let mut series = caxton_rollout::Series::default();
    let mut expected = Vec::new();
    let mut held_most = 0;
    let mut records = Records::given("r.jsonl", std::io::Cursor::new(recording.text()));
    for record in &recording.lines {
        match record {
            Record::Window(window) => series.push((**window).clone()),
            Record::Tick(_) => expected.push(series.windows().to_vec()),
            _ => {}
        }
    }
    let mut shown = Vec::new();
    while let Some(happening) = records.read().unwrap() {
        held_most = held_most.max(records.held());
        if let Happening::Round(round) = happening {
            shown.push(round.question.windows.clone());
        }
    }
    assert_eq!(shown, expected);
    assert!(held_most <= COMING_MAX, "{held_most}");

    // A round that was asked before so many of them cannot be: no host is that late.
    for record in &mut recording.lines {
        if let Record::Tick(tick) = record {
            tick.windows -= quiet;
        }
    }
    let (_, _, error) = read(recording.text());
    expect!["r.jsonl, line 8197: a policy was shown 1 windows, and 8193 stand before it: a host never answers more than 4096 windows late; are lines out of order?"].assert_eq(&error.unwrap_or_default());
}
