//! An event in a sentence. Shared by `caxton events` and the demo's timeline.

use serde_json::{Map, Value};

use super::text::{Tone, harmless};
use super::time::span;

/// What happened, for people, and how good that is. Harmless on a terminal.
///
/// A kind that is not known is told with its fields, so that a newer host's events are readable, too.
#[must_use]
pub fn sentence(kind: &str, fields: &Map<String, Value>) -> (String, Tone) {
    let (text, tone) = known(kind, &Fields(fields)).unwrap_or_else(|| unknown(kind, fields));
    (harmless(&text).into_owned(), tone)
}

struct Fields<'a>(&'a Map<String, Value>);

impl Fields<'_> {
    fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.as_str()
    }

    fn number(&self, key: &str) -> Option<u64> {
        self.0.get(key)?.as_u64()
    }

    fn version(&self, key: &str) -> String {
        self.number(key)
            .map_or_else(|| "no version".to_owned(), |number| format!("v{number}"))
    }

    /// The reason as the second half of a sentence, or nothing.
    fn because(&self) -> String {
        self.text("reason")
            .map(|reason| format!(": {reason}"))
            .unwrap_or_default()
    }
}

fn known(kind: &str, fields: &Fields<'_>) -> Option<(String, Tone)> {
    let said = match kind {
        "reload-started" => match fields.number("from") {
            None => (
                format!("{} is deployed, the first version", fields.version("to")),
                Tone::Busy,
            ),
            Some(from) => (
                format!("{} comes in, v{from} serves", fields.version("to")),
                Tone::Busy,
            ),
        },
        "status-changed" => {
            let to = fields.text("to")?;
            (format!("{to}{}", fields.because()), status_tone(to))
        }
        "waiting" => (format!("waits{}", fields.because()), Tone::Busy),
        "swapped" => match fields.number("to") {
            None => (
                format!("{} serves no more", fields.version("from")),
                Tone::Bad,
            ),
            Some(to) => (
                format!(
                    "v{to} gets all new requests, before: {}",
                    fields.version("from")
                ),
                Tone::Strong,
            ),
        },
        "share" => (share(fields)?, Tone::Strong),
        "handed-over" => (
            format!(
                "{} has its state, from {}",
                fields.version("to"),
                match fields.text("state_from")? {
                    "live" => "the version before it, complete",
                    "checkpoint" => "the last checkpoint",
                    "snapshot" => "what was saved last",
                    _ => "nowhere: it begins empty",
                }
            ),
            Tone::Busy,
        ),
        "state-lost" => (
            format!(
                "{} lost what {} answered calls had left in its memory: {}",
                fields.version("number"),
                fields.number("calls")?,
                fields.text("reason")?
            ),
            Tone::Bad,
        ),
        "order-failed" => (fields.text("reason")?.to_owned(), Tone::Bad),
        "listening" => (
            format!(
                "{} hears copies of the requests, nobody gets its answers",
                fields.version("number")
            ),
            Tone::Busy,
        ),
        "health-failed" => (
            format!(
                "a health check of {} failed{}",
                fields.version("number"),
                fields.because()
            ),
            Tone::Bad,
        ),
        "verdict" => verdict(fields)?,
        "fault" => {
            let message = fields.text("message").unwrap_or("no usable answer");
            (
                format!("policy {} is at fault: {message}", fields.text("policy")?),
                Tone::Bad,
            )
        }
        "completed" => {
            let evidence = fields.text("evidence").unwrap_or("none");
            (
                format!(
                    "{} is permanent ({})",
                    fields.version("number"),
                    evidence_words(evidence)
                ),
                Tone::Good,
            )
        }
        "disarmed" => (
            format!(
                "{} is watched no more{}",
                fields.version("number"),
                fields.because()
            ),
            Tone::Faint,
        ),
        "rolled-back" => {
            let text = format!(
                "back from {} to {}{}",
                fields.version("from"),
                fields.version("to"),
                fields.because()
            );
            (text, Tone::Bad)
        }
        "quarantined" => (format!("quarantined{}", fields.because()), Tone::Bad),
        "set-aside" => (format!("set aside{}", fields.because()), Tone::Bad),
        "diverged" => (
            format!("the file does not come in{}", fields.because()),
            Tone::Bad,
        ),
        "calls-cut" => {
            let calls = fields.number("calls")?;
            let noun = if calls == 1 { "call" } else { "calls" };
            (
                format!("{calls} {noun} on {} cut", fields.version("number")),
                Tone::Bad,
            )
        }
        "ordered" => (
            format!("an operator ordered: {}", fields.text("order")?),
            Tone::Strong,
        ),
        "finished" => finished(fields)?,
        "taken" => ("its files are taken".to_owned(), Tone::Faint),
        "prepared" => {
            let number = fields.version("number");
            let text = match fields.text("code")? {
                "compiled" => format!(
                    "{number} is up, compiled in {}",
                    span(fields.number("compile_ms")?)
                ),
                _ => format!("{number} is up, and was compiled before"),
            };
            (text, Tone::Faint)
        }
        "refused" => {
            let file = fields.text("file").unwrap_or("a file");
            (format!("{file} is refused{}", fields.because()), Tone::Bad)
        }
        "polling" => (
            format!(
                "the directory is listed again and again{}",
                fields.because()
            ),
            Tone::Busy,
        ),
        "directory-lost" => (
            format!(
                "the agents directory is lost, everything serves on{}",
                fields.because()
            ),
            Tone::Bad,
        ),
        "directory-found" => ("the agents directory is back".to_owned(), Tone::Good),
        "policy-loaded" | "policy-refused" | "policy-gone" => policy_news(kind, fields)?,
        "records-lost" => (
            format!("decision records were lost{}", fields.because()),
            Tone::Bad,
        ),
        "events-lost" => {
            let lost = match fields.number("count")? {
                1 => "1 event or order is".to_owned(),
                count => format!("{count} events and orders are"),
            };
            let text = format!(
                "{lost} lost: the journal could not be written, and no more fitted into memory"
            );
            (text, Tone::Bad)
        }
        "state-not-stored" => (
            format!(
                "the state of {} cannot be stored, and what was stored before stands{}",
                fields.version("number"),
                fields.because()
            ),
            Tone::Bad,
        ),
        "disabled" => (
            "turned off: its configuration says `enabled = false`".to_owned(),
            Tone::Busy,
        ),
        "stopped" => (format!("stopped{}", fields.because()), Tone::Busy),
        crate::events::MISSED => {
            let missed = fields.number(crate::events::MISSED).unwrap_or(0);
            (
                format!("{missed} events are not remembered any more"),
                Tone::Busy,
            )
        }
        _ => return None,
    };
    Some(said)
}

fn share(fields: &Fields<'_>) -> Option<String> {
    let percent = fields.number("percent")?;
    let stages = fields.number("stages").filter(|stages| *stages > 1);
    let stage = match (fields.number("stage"), stages) {
        (Some(stage), Some(stages)) => format!(", stage {} of {stages}", stage.saturating_add(1)),
        _ => String::new(),
    };
    Some(format!(
        "{} gets {percent} % of the requests{stage}",
        fields.version("number")
    ))
}

/// What became of a file in the policies directory.
fn policy_news(kind: &str, fields: &Fields<'_>) -> Option<(String, Tone)> {
    Some(match kind {
        "policy-refused" => {
            let stage = fields
                .text("stage")
                .map(|stage| format!(" at the stage {stage}"));
            let text = format!(
                "policy file {} is refused{}{}",
                fields.text("file")?,
                stage.unwrap_or_default(),
                fields.because()
            );
            (text, Tone::Bad)
        }
        "policy-gone" => (
            format!(
                "policy {} is gone, reloads that have it keep it",
                fields.text("policy")?
            ),
            Tone::Busy,
        ),
        _ => {
            let version = fields.text("version").filter(|version| !version.is_empty());
            let version = version.map(|version| format!(" {version}"));
            let decides = fields.text("decides").map(|kind| format!(" ({kind})"));
            let text = format!(
                "policy {}{}{} is there, from the next reload on",
                fields.text("policy")?,
                version.unwrap_or_default(),
                decides.unwrap_or_default()
            );
            (text, Tone::Good)
        }
    })
}

fn finished(fields: &Fields<'_>) -> Option<(String, Tone)> {
    let status = fields.text("status")?;
    let took = fields
        .number("completed_at")?
        .saturating_sub(fields.number("started_at")?);
    let from = fields
        .number("from")
        .map(|from| format!("v{from} -> "))
        .unwrap_or_default();
    let to = fields.version("to");
    let lost = fields.number("lost_requests").unwrap_or(0);
    let text = format!(
        "the reload {from}{to} ended after {}: {status}, {lost} requests lost",
        span(took)
    );
    Some((text, status_tone(status)))
}

fn verdict(fields: &Fields<'_>) -> Option<(String, Tone)> {
    let policy = fields.text("policy")?;
    let (word, tone) = verdict_word(fields.0.get("verdict")?);
    let monitors = match fields.0.get("enforcing") {
        Some(Value::Bool(false)) => " (monitors only)",
        _ => "",
    };
    let why = fields
        .0
        .get("why")
        .and_then(|why| why.get("summary"))
        .and_then(Value::as_str);
    let why = why
        .filter(|why| !why.is_empty())
        .map(|why| format!(": {why}"))
        .unwrap_or_default();
    Some((format!("policy {policy}{monitors} says {word}{why}"), tone))
}

/// A verdict in a few words.
pub(super) fn verdict_word(verdict: &Value) -> (String, Tone) {
    match verdict {
        Value::String(word) if word == "proceed" => (word.clone(), Tone::Good),
        Value::String(word) if word == "hold" => (word.clone(), Tone::Busy),
        Value::String(word) => (word.clone(), Tone::Plain),
        Value::Object(rollback) => {
            let blame = rollback
                .get("rollback")
                .and_then(Value::as_str)
                .unwrap_or("unknown");
            (format!("rollback (blame: {blame})"), Tone::Bad)
        }
        _ => ("nothing yet".to_owned(), Tone::Faint),
    }
}

/// What a completion rests on.
pub(super) fn evidence_words(evidence: &str) -> &str {
    match evidence {
        "sufficient" => "enough evidence",
        "insufficient" => "not enough evidence",
        "operator" => "by an operator",
        "none" => "not judged",
        other => other,
    }
}

/// How good a reload's status is.
pub(super) fn status_tone(status: &str) -> Tone {
    match status {
        "completed" => Tone::Good,
        "failed" | "rolled-back" | "rolling-back" => Tone::Bad,
        "cancelled" => Tone::Faint,
        _ => Tone::Busy,
    }
}

fn unknown(kind: &str, fields: &Map<String, Value>) -> (String, Tone) {
    let mut text = kind.to_owned();
    let told = fields.iter().filter(|(key, value)| {
        !matches!(key.as_str(), "seq" | "reload" | "id") && !value.is_object() && !value.is_array()
    });
    for (key, value) in told {
        let value = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        text.push_str(&format!(" {key}={value}"));
    }
    (text, Tone::Plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use serde_json::json;

    #[test]
    fn every_kind_has_a_sentence() {
        let events = [
            ("reload-started", json!({"from": null, "to": 1})),
            ("reload-started", json!({"from": 1, "to": 2})),
            (
                "status-changed",
                json!({"from": "starting", "to": "in-progress", "reason": null}),
            ),
            (
                "status-changed",
                json!({"to": "failed", "reason": "it traps\u{1b}[31m"}),
            ),
            ("waiting", json!({"reason": "for a slot"})),
            ("swapped", json!({"from": 1, "to": 2})),
            ("swapped", json!({"from": 1, "to": null})),
            (
                "share",
                json!({"number": 2, "percent": 25, "stage": 2, "stages": 5}),
            ),
            (
                "share",
                json!({"number": 2, "percent": 10, "stage": 0, "stages": 1}),
            ),
            ("listening", json!({"number": 2})),
            (
                "verdict",
                json!({"policy": "p", "enforcing": false, "verdict": "hold", "why": {"summary": "too few"}}),
            ),
            (
                "verdict",
                json!({"policy": "p", "enforcing": true, "verdict": {"rollback": "candidate"}}),
            ),
            ("fault", json!({"policy": "p", "message": "it trapped"})),
            ("completed", json!({"number": 2, "evidence": "sufficient"})),
            (
                "rolled-back",
                json!({"from": 3, "to": 2, "reason": "error-rate"}),
            ),
            ("stopped", json!({"reason": "the file was removed"})),
            ("calls-cut", json!({"number": 1, "calls": 1})),
            ("missed", json!({"missed": 12})),
            (
                "finished",
                json!({"from": 3, "to": 2, "status": "rolled-back", "started_at": 1_000, "completed_at": 1_988}),
            ),
            (
                "refused",
                json!({"file": "a.wasm", "reason": "it is empty"}),
            ),
            ("directory-lost", json!({"reason": "it is not there"})),
            (
                "policy-loaded",
                json!({"policy": "mine", "decides": "rollback", "version": "0.2.0", "digest": "00", "from_cache": false}),
            ),
            (
                "policy-refused",
                json!({"file": "mine.wasm", "stage": "imports", "reason": "it imports wasi:http"}),
            ),
            ("policy-gone", json!({"policy": "mine"})),
            (
                "records-lost",
                json!({"reason": "lines are missing from here on: the disk is slow"}),
            ),
            ("events-lost", json!({"count": 1})),
            ("events-lost", json!({"count": 12})),
            (
                "state-not-stored",
                json!({"number": 2, "reason": "the disk is full"}),
            ),
            (
                "of-a-newer-host",
                json!({"a": 1, "b": "x", "seq": 3, "c": {}}),
            ),
        ];
        let told: String = events
            .iter()
            .map(|(kind, fields)| format!("{}\n", sentence(kind, fields.as_object().unwrap()).0))
            .collect();
        expect![[r#"
            v1 is deployed, the first version
            v2 comes in, v1 serves
            in-progress
            failed: it traps\u{1b}[31m
            waits: for a slot
            v2 gets all new requests, before: v1
            v1 serves no more
            v2 gets 25 % of the requests, stage 3 of 5
            v2 gets 10 % of the requests
            v2 hears copies of the requests, nobody gets its answers
            policy p (monitors only) says hold: too few
            policy p says rollback (blame: candidate)
            policy p is at fault: it trapped
            v2 is permanent (enough evidence)
            back from v3 to v2: error-rate
            stopped: the file was removed
            1 call on v1 cut
            12 events are not remembered any more
            the reload v3 -> v2 ended after 988 ms: rolled-back, 0 requests lost
            a.wasm is refused: it is empty
            the agents directory is lost, everything serves on: it is not there
            policy mine 0.2.0 (rollback) is there, from the next reload on
            policy file mine.wasm is refused at the stage imports: it imports wasi:http
            policy mine is gone, reloads that have it keep it
            decision records were lost: lines are missing from here on: the disk is slow
            1 event or order is lost: the journal could not be written, and no more fitted into memory
            12 events and orders are lost: the journal could not be written, and no more fitted into memory
            the state of v2 cannot be stored, and what was stored before stands: the disk is full
            of-a-newer-host a=1 b=x
        "#]]
        .assert_eq(&told);
    }
}
