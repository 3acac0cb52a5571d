//! What operators order. The core decides whether an order is taken; one that is has not had its effect yet.

use serde_json::{Map, Value, json};

use super::args::{AbortArgs, OrderArgs, PromoteArgs, RollbackArgs, SetSplitArgs, StateArgs};
use super::client::Client;
use super::failure::Failure;
use super::text::harmless;
use super::{print, print_json};

pub(super) async fn plain(args: &OrderArgs, order: &str) -> Result<(), Failure> {
    send(args, order, json!({})).await
}

pub(super) async fn promote(args: &PromoteArgs) -> Result<(), Failure> {
    send(&args.order, "promote", json!({ "now": args.now })).await
}

pub(super) async fn rollback(args: &RollbackArgs) -> Result<(), Failure> {
    let mut body = with_state(&args.state);
    if let Some(to) = args.to {
        body.insert("to".to_owned(), json!(to));
    }
    send(&args.order, "rollback", body.into()).await
}

pub(super) async fn abort(args: &AbortArgs) -> Result<(), Failure> {
    send(&args.order, "abort", with_state(&args.state).into()).await
}

pub(super) async fn set_split(args: &SetSplitArgs) -> Result<(), Failure> {
    send(&args.order, "set-split", json!({ "percent": args.percent })).await
}

/// What is not said is left to the host.
fn with_state(args: &StateArgs) -> Map<String, Value> {
    args.state
        .map(|state| ("state".to_owned(), json!(state.word())))
        .into_iter()
        .collect()
}

async fn send(args: &OrderArgs, order: &str, body: Value) -> Result<(), Failure> {
    let client = Client::find(&args.connection)?;
    let agent = args.agent.to_string();
    let taken = client.order(&agent, order, &body).await?;
    if args.json {
        return print_json(&taken);
    }
    print(&under_way(&agent, order, &taken))
}

/// That an order was taken, and where its effect will be seen.
fn under_way(agent: &str, order: &str, taken: &Value) -> String {
    let words = taken.get("order").and_then(Value::as_str).unwrap_or(order);
    let words = harmless(words);
    let status = format!("`caxton status {agent}`");
    match order {
        "rollback" | "abort" => format!(
            "{agent}: {words} is under way; watch it with `caxton events --follow`, {status} shows where it stands\n"
        ),
        _ => format!("{agent}: {words} is under way; {status} shows it\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::StateArg;

    #[test]
    fn only_what_was_said_is_sent() {
        let body = |state| Value::from(with_state(&StateArgs { state }));
        assert_eq!(body(None), json!({}));
        assert_eq!(body(Some(StateArg::Carry)), json!({"state": "carry"}));
        assert_eq!(body(Some(StateArg::Snapshot)), json!({"state": "snapshot"}));
        assert_eq!(body(Some(StateArg::Fresh)), json!({"state": "fresh"}));
    }

    #[test]
    fn the_hosts_words_for_the_order_are_shown_and_are_harmless() {
        let told = under_way(
            "hello",
            "rollback",
            &json!({"order": "rollback --to 2\u{1b}[2J"}),
        );
        assert_eq!(
            told,
            "hello: rollback --to 2\\u{1b}[2J is under way; watch it with `caxton events --follow`, \
             `caxton status hello` shows where it stands\n"
        );
        assert_eq!(
            under_way("hello", "set-split", &json!({})),
            "hello: set-split is under way; `caxton status hello` shows it\n"
        );
    }
}
