//! `caxton wait`: until an agent, or the file that was dropped for it, is where a script wants it.
//!
//! It follows what happens from a moment before it first looks, and looks again at whatever happens to the agent: nothing
//! falls between the two. A host that goes away is waited for as long as there is time.

mod standing;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use caxton_rollout::{AgentName, Digest};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, timeout_at};

use self::standing::{Component, Standing, Watched};
use super::args::{Connection, agent_name, span};
use super::client::Client;
use super::failure::Failure;
use super::lines::{Lines, parsed};
use super::print;
use super::text::{Paint, draw, harmless, harmless_json};
use super::views::{Agent, Ended, Happened};

/// Between two tries to reach a host that went away.
const CONNECT_AGAIN: Duration = Duration::from_millis(250);

/// `caxton wait`
#[derive(Debug, Args)]
pub struct WaitArgs {
    /// The agent's name
    #[arg(value_parser = agent_name)]
    pub agent: AgentName,
    /// Wait for these bytes, whether the host has noticed them yet or not; without it for whatever goes on now
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// What is waited for
    #[arg(long, value_enum, default_value_t, value_name = "WHAT")]
    pub until: Until,
    /// How long at most
    #[arg(long, value_name = "TIME", value_parser = span, default_value = "10m")]
    pub timeout: Duration,
    /// How it ended as JSON, for tools
    #[arg(long)]
    pub json: bool,
    /// Which host.
    #[command(flatten)]
    pub connection: Connection,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Until {
    /// It answers requests: all of them, or a share
    Serving,
    /// It is permanent, and no reload goes on with it
    #[default]
    Completed,
}

impl Until {
    fn word(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Completed => "completed",
        }
    }
}

pub(super) async fn wait(args: &WaitArgs) -> Result<(), Failure> {
    let file = args.file.as_deref().map(component).transpose()?;
    let mut watched = Watched::new(file, args.until);
    let mut progress = Progress::new(args);
    let deadline = Instant::now() + args.timeout;
    let mut reached_once = false;
    loop {
        let attending = attend(args, &mut watched, &mut progress, &mut reached_once);
        match timeout_at(deadline, attending).await {
            Ok(Ok(standing)) => {
                progress.clear();
                return told(args, &watched, &standing);
            }
            Ok(Err(Failure::Unreachable(why))) if reached_once => {
                progress.show("the host is gone: waits for it to come back");
                let next = Instant::now() + CONNECT_AGAIN;
                if next >= deadline {
                    progress.clear();
                    return Err(Failure::Unreachable(why));
                }
                tokio::time::sleep_until(next).await;
            }
            Ok(Err(failure)) => return Err(failure),
            Err(_) => {
                progress.clear();
                let stands = Standing::Ended {
                    outcome: "timeout",
                    reason: late(args, &progress.shown),
                };
                return told(args, &watched, &stands);
            }
        }
    }
}

/// Follows one host until it has the answer.
async fn attend(
    args: &WaitArgs,
    watched: &mut Watched,
    progress: &mut Progress,
    reached_once: &mut bool,
) -> Result<Standing, Failure> {
    #[derive(serde::Deserialize)]
    struct Host {
        last_event: u64,
    }
    let client = Client::find(&args.connection)?;
    let host: Host = client.read(client.get("host").await?)?;
    // Before the first look, so that what happens after it is heard.
    let mut events = Lines::of(client.events(host.last_event, true).await?);
    *reached_once = true;
    loop {
        match look(&client, args, watched).await? {
            Standing::Going(phase) => progress.show(&phase),
            ended => return Ok(ended),
        }
        loop {
            let Some(line) = events.next(&client).await? else {
                let gone = "the host has stopped, and has not come back in time";
                return Err(Failure::Unreachable(gone.to_owned()));
            };
            let happened: Happened = parsed(&line, "event")?;
            if happened.kind == crate::events::MISSED {
                break;
            }
            if happened.agent.as_deref() == Some(args.agent.as_ref()) {
                watched.hear(&happened);
                break;
            }
        }
    }
}

async fn look(
    client: &Client,
    args: &WaitArgs,
    watched: &mut Watched,
) -> Result<Standing, Failure> {
    let path = format!("agents/{}", args.agent);
    let Some(agent) = client.get_if_there(&path).await? else {
        return Ok(watched.look(None, &[]));
    };
    let agent: Agent = client.read(agent)?;
    // It says how a reload has ended, and is long: one that still runs is not in it.
    let runs = agent.reload.as_ref().map(|reload| reload.id.as_str());
    let history = match watched.reload() {
        Some(reload) if runs != Some(reload) => {
            client.get_if_there(&format!("{path}/history")).await?
        }
        _ => None,
    };
    let history: Vec<Ended> = client.read(history.unwrap_or_else(|| json!([])))?;
    Ok(watched.look(Some(&agent), &history))
}

fn component(file: &Path) -> Result<Component, Failure> {
    let bytes = std::fs::read(file)
        .map_err(|error| Failure::Usage(format!("{} cannot be read: {error}", file.display())))?;
    Ok(Component {
        digest: Digest::new(Sha256::digest(&bytes).into()).to_string(),
        size: bytes.len() as u64,
    })
}

fn late(args: &WaitArgs, stands: &str) -> String {
    let agent = &args.agent;
    let waited = humantime::format_duration(args.timeout);
    if stands.is_empty() {
        return format!("the {waited} are over, and the host has not answered in them");
    }
    format!("the {waited} are over, and {stands}; `caxton status {agent}` says more")
}

/// Says how it ended, in words and with the exit code.
fn told(args: &WaitArgs, watched: &Watched, standing: &Standing) -> Result<(), Failure> {
    let agent = &args.agent;
    let (outcome, reason) = match standing {
        Standing::Ended { outcome, reason } => (*outcome, Some(reason.as_str())),
        Standing::Reached | Standing::Going(_) => ("reached", None),
    };
    if args.json {
        let ended: Value = json!({
            "agent": agent,
            "until": args.until.word(),
            "reached": reason.is_none(),
            "outcome": outcome,
            "version": watched.number(),
            "digest": watched.digest(),
            "reload": watched.reload(),
            "reason": reason,
        });
        print(&format!("{}\n", harmless_json(&ended.to_string())))?;
        return reason.map_or(Ok(()), |_| Err(Failure::Told));
    }
    let version = watched.number().map(|number| format!(" v{number}"));
    let version = version.unwrap_or_default();
    let Some(reason) = reason else {
        let what = match args.until {
            Until::Serving => "serves",
            Until::Completed => "is permanent",
        };
        return print(&format!("{agent}{version} {what}\n"));
    };
    let explain = match watched.reload() {
        Some(reload) if outcome != "timeout" => format!("\n`caxton explain {reload}` says more"),
        _ => String::new(),
    };
    Err(Failure::No(format!(
        "{agent}{version} {outcome}: {reason}{explain}"
    )))
}

/// Where it stands, for whoever waits: on a terminal one line that changes, otherwise a line for each change.
struct Progress {
    agent: AgentName,
    terminal: bool,
    shown: String,
}

impl Progress {
    fn new(args: &WaitArgs) -> Self {
        Self {
            agent: args.agent.clone(),
            terminal: Paint::stderr().terminal(),
            shown: String::new(),
        }
    }

    fn show(&mut self, phase: &str) {
        if self.shown == phase {
            return;
        }
        phase.clone_into(&mut self.shown);
        let line = format!("{}: {}", self.agent, harmless(phase));
        if self.terminal {
            draw(&format!("{line} ..."));
        } else {
            let _ = writeln!(std::io::stderr(), "{line}");
        }
    }

    fn clear(&self) {
        if self.terminal && !self.shown.is_empty() {
            draw("");
        }
    }
}
