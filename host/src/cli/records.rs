//! `caxton records`: decision records from a running host, as files hold them.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::path::PathBuf;
use std::time::Duration;

use caxton_rollout::{AgentName, HotReloadId};
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use futures::StreamExt;
use reqwest::Response;
use serde::Deserialize;

use super::args::Connection;
use super::client::Client;
use super::failure::Failure;
use super::text::{Paint, Tone, harmless};
use super::time::now_ms;
use super::views;
use crate::admin::INCOMPLETE;
use crate::records::read::Notice;

/// Characters of an id that are taken for its beginning: fewer would often fit several.
const PREFIX_MIN: usize = 4;

/// `caxton records`
#[derive(Debug, Args)]
pub struct RecordsArgs {
    /// A reload's id, or its beginning, or an agent's name for its newest reload
    #[arg(conflicts_with_all = ["agent", "last"], value_parser = NonEmptyStringValueParser::new())]
    pub reload: Option<String>,
    /// All reloads of this agent; without it, of all agents
    #[arg(long, value_name = "AGENT")]
    pub agent: Option<AgentName>,
    /// Only of the last so long, for example 7d or 2h
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub last: Option<Duration>,
    /// Into this file instead of the standard output
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Which host.
    #[command(flatten)]
    pub connection: Connection,
}

/// Whose records are meant.
pub(super) enum Named {
    /// Those of one reload.
    Reload(HotReloadId),
    /// Those of the newest reload of an agent, of which the host tells no id.
    Agent(AgentName),
}

pub(super) async fn records(args: &RecordsArgs) -> Result<(), Failure> {
    if (&args.reload, &args.agent, args.last) == (&None, &None, None) {
        return Err(Failure::Usage(
            "say of which reload (`caxton history AGENT --json` has ids), or of which agent: --agent NAME, or of how long: \
             --last 7d"
                .to_owned(),
        ));
    }
    let client = Client::find(&args.connection)?;
    let response = match &args.reload {
        Some(wanted) => stream(&client, &named(&client, wanted).await?).await?,
        None => {
            let agent = args.agent.as_ref().map(|agent| format!("agent={agent}"));
            let since = args.last.map(|last| {
                let last = u64::try_from(last.as_millis()).unwrap_or(u64::MAX);
                format!("since={}", now_ms().saturating_sub(last))
            });
            let query: Vec<String> = agent.into_iter().chain(since).collect();
            client
                .stream(&format!("records?{}", query.join("&")))
                .await?
        }
    };
    let written = match &args.out {
        None => copy(&client, response, io::stdout()).await?,
        Some(out) => {
            let cannot = |error: io::Error| {
                Failure::Usage(format!("{} cannot be written: {error}", out.display()))
            };
            let file = File::create(out).map_err(cannot)?;
            copy(&client, response, file).await?
        }
    };
    if written == 0 {
        note("there are no records of that");
    }
    Ok(())
}

/// Whether `wanted` stands for the id, or enough of its beginning.
pub(super) fn begins(id: &str, wanted: &str) -> bool {
    wanted.len() >= PREFIX_MIN && id.starts_with(wanted)
}

/// That no reload has an id that begins so, and how long a beginning must be.
pub(super) fn none_begins(wanted: &str) -> String {
    if wanted.len() < PREFIX_MIN {
        format!("{PREFIX_MIN} characters of a reload's id are needed to find one by its beginning")
    } else {
        "no reload's id begins so".to_owned()
    }
}

/// Which reload `wanted` means: an id, or the name of an agent, or the beginning of an id that only one has.
pub(super) async fn named(client: &Client, wanted: &str) -> Result<Named, Failure> {
    #[derive(Deserialize)]
    struct Ended {
        id: HotReloadId,
    }
    if let Ok(id) = wanted.parse() {
        return Ok(Named::Reload(id));
    }
    let agents: Vec<views::Agent> = client.read(client.get("agents").await?)?;
    let mut known = Vec::new();
    for agent in &agents {
        let Ok(name) = agent.agent.parse::<AgentName>() else {
            continue;
        };
        let going = agent
            .reload
            .as_ref()
            .and_then(|reload| reload.id.parse().ok());
        let history = client.get(&format!("agents/{name}/history")).await?;
        let history: Vec<Ended> = client.read(history)?;
        let ids: Vec<HotReloadId> = going
            .into_iter()
            .chain(history.into_iter().map(|ended| ended.id))
            .collect();
        if agent.agent == wanted {
            return Ok(match ids.first() {
                Some(newest) => Named::Reload(*newest),
                None => Named::Agent(name),
            });
        }
        known.extend(ids);
    }
    known.sort();
    known.dedup();
    let fits: Vec<&HotReloadId> = known
        .iter()
        .filter(|id| begins(&id.to_string(), wanted))
        .collect();
    match fits.as_slice() {
        [id] => Ok(Named::Reload(**id)),
        [] => {
            // Records outlive the host's memory of agents and reloads.
            let agent = wanted.parse::<AgentName>().map_err(|_| nothing(wanted))?;
            Ok(Named::Agent(agent))
        }
        several => {
            let ids: Vec<String> = several.iter().map(ToString::to_string).collect();
            Err(Failure::Usage(format!(
                "no agent is named {wanted}, and several reloads begin with it; name one of: {}",
                ids.join(", ")
            )))
        }
    }
}

fn nothing(wanted: &str) -> Failure {
    Failure::No(format!(
        "{wanted:?} is no reload's id or the beginning of one, and no agent's name; `caxton ls` lists agents, `caxton \
         history AGENT --json` has the ids of reloads"
    ))
}

async fn stream(client: &Client, named: &Named) -> Result<Response, Failure> {
    let response = client.stream(&path(named)).await;
    response.map_err(|failure| match (named, failure) {
        // It was taken for an agent because it is nothing else that is known.
        (Named::Agent(agent), Failure::No(_)) => nothing(agent.as_ref()),
        (_, failure) => failure,
    })
}

fn path(named: &Named) -> String {
    match named {
        Named::Reload(id) => format!("records?reload={id}"),
        Named::Agent(agent) => format!("records?agent={agent}"),
    }
}

/// The records in a file of their own, which is gone when it is closed.
pub(super) async fn fetched(client: &Client, named: &Named) -> Result<File, Failure> {
    let response = stream(client, named).await?;
    let mut file = tempfile::tempfile()?;
    copy(client, response, &mut file).await?;
    file.rewind()?;
    Ok(file)
}

async fn copy(client: &Client, response: Response, mut to: impl Write) -> Result<u64, Failure> {
    if response.headers().contains_key(INCOMPLETE) {
        note(
            "the host cannot write its journal now, so the newest decisions are missing here; `caxton ls` says what helps",
        );
    }
    let mut chunks = response.bytes_stream();
    let mut written = 0_u64;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| client.lost(&error))?;
        to.write_all(&chunk)?;
        written = written.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
    }
    to.flush()?;
    Ok(written)
}

/// Says on the standard error what was passed over.
pub(super) fn tell(notices: &[Notice]) {
    notices.iter().for_each(|notice| note(&notice.to_string()));
}

/// Says something beside the output, on the standard error.
pub(super) fn note(text: &str) {
    let mark = Paint::stderr().tone(Tone::Busy, "note:");
    let _ = writeln!(io::stderr(), "{mark} {}", harmless(text));
}
