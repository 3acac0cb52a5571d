//! `caxton explain`: one reload, line by line, for a person.

mod figures;
mod seen;
mod story;
mod write;

use std::path::PathBuf;

use caxton_rollout::{Digest, HotReloadId, PolicyMode};
use caxton_runtime::policy::PolicyRuntime;
use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use self::story::{Decisive, Story};
use self::write::WhatIf;
use super::args::Connection;
use super::client::{Client, DEFAULT_DATA_DIR};
use super::failure::Failure;
use super::policy::kit::CacheArgs;
use super::records::{self, Named};
use super::{Paint, print, print_json};
use crate::policies;
use crate::records::read::{Happening, Records};
use crate::records::{Answered, Asked, Began};
use crate::replay;

/// Bytes of a policy that are taken from a host: a Python one has 18 MB.
const POLICY_BYTES_MAX: u64 = 100 * 1024 * 1024;

/// `caxton explain`
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// A reload's id, or its beginning, or an agent's name for its newest reload
    #[arg(required_unless_present = "file", value_parser = NonEmptyStringValueParser::new())]
    pub reload: Option<String>,
    /// From records that `caxton records` wrote, instead of a running host; `-` is the standard input
    #[arg(long, value_name = "RECORDS")]
    pub file: Option<PathBuf>,
    /// As JSON, for tools
    #[arg(long)]
    pub json: bool,
    /// Which host.
    #[command(flatten)]
    pub connection: Connection,
}

pub(super) async fn explain(args: &ExplainArgs) -> Result<(), Failure> {
    let client = Client::find(&args.connection);
    let (story, client) = match &args.file {
        Some(file) => {
            let records = Records::of_files(std::slice::from_ref(file));
            (of_records(records, args.reload.as_deref())?, client.ok())
        }
        None => {
            let client = client?;
            let wanted = args.reload.as_deref().unwrap_or_default();
            let named = records::named(&client, wanted).await?;
            let file = records::fetched(&client, &named).await?;
            let wanted = match &named {
                Named::Reload(id) => id.to_string(),
                Named::Agent(agent) => agent.to_string(),
            };
            let records = Records::given("the host's records", file);
            (of_records(records, Some(&wanted))?, Some(client))
        }
    };
    let what_if = match &story.decisive {
        Some(decisive) => what_if(&story, decisive, client.as_ref(), &args.connection).await?,
        None => Vec::new(),
    };
    if args.json {
        return print_json(&as_json(&story, &what_if));
    }
    print(&write::story(&story, &what_if, Paint::stdout()))
}

/// The reload that is wanted: the newest of the agent of this name, or else the only one whose id begins so.
fn of_records(mut records: Records, wanted: Option<&str>) -> Result<Story, Failure> {
    let mut found = Choice::default();
    while let Some(happening) = records
        .read()
        .map_err(|error| Failure::No(error.to_string()))?
    {
        if let Happening::Began(began) = &happening {
            found.begins(began, wanted);
        }
        if let Some(story) = found.taking() {
            story.take(happening);
        }
    }
    records::tell(&records.take_notices());
    found.chosen(wanted)
}

/// What was found so far. An agent may be named like the beginning of an id, and may come later in the records, so that
/// both are kept.
#[derive(Default)]
struct Choice {
    of_agent: Option<Story>,
    of_id: Option<Story>,
    taking: Option<By>,
    /// Ids that fit, and all of them.
    fitting: Vec<HotReloadId>,
    all: Vec<HotReloadId>,
}

/// What a reload was found by.
#[derive(Clone, Copy)]
enum By {
    Agent,
    Id,
}

impl Choice {
    fn begins(&mut self, began: &Began, wanted: Option<&str>) {
        let id = began.reload.to_string();
        note(&mut self.all, began.reload);
        self.taking = match wanted {
            Some(wanted) if began.agent.as_ref() == wanted => Some(By::Agent),
            Some(wanted) => records::begins(&id, wanted).then_some(By::Id),
            None => Some(By::Id),
        };
        match self.taking {
            Some(By::Agent) => self.of_agent = Some(Story::new(began.clone())),
            Some(By::Id) => {
                note(&mut self.fitting, began.reload);
                self.of_id = Some(Story::new(began.clone()));
            }
            None => {}
        }
    }

    fn taking(&mut self) -> Option<&mut Story> {
        match self.taking? {
            By::Agent => self.of_agent.as_mut(),
            By::Id => self.of_id.as_mut(),
        }
    }

    fn chosen(self, wanted: Option<&str>) -> Result<Story, Failure> {
        let list = |ids: &[HotReloadId]| {
            let ids: Vec<String> = ids.iter().map(HotReloadId::to_string).collect();
            ids.join(", ")
        };
        if let Some(story) = self.of_agent {
            return Ok(story);
        }
        match (self.of_id, wanted) {
            (Some(story), _) if self.fitting.len() == 1 => Ok(story),
            (Some(_), None) => Err(Failure::Usage(format!(
                "there are several reloads in these records; name one of: {}",
                list(&self.fitting)
            ))),
            (Some(_), Some(wanted)) => Err(Failure::Usage(format!(
                "no agent in these records is named {wanted}, and several reloads begin with it; name one of: {}",
                list(&self.fitting)
            ))),
            (None, Some(wanted)) if !self.all.is_empty() => Err(Failure::No(format!(
                "no agent in these records is named {wanted}, and {}; there are: {}",
                records::none_begins(wanted),
                list(&self.all)
            ))),
            (None, _) => Err(Failure::No(
                "there is no reload in these records".to_owned(),
            )),
        }
    }
}

/// Notes a reload, of so many as a person reads.
fn note(ids: &mut Vec<HotReloadId>, id: HotReloadId) {
    if ids.len() < 16 && !ids.contains(&id) {
        ids.push(id);
    }
}

/// What would have changed the answers of the policies that had a say.
async fn what_if(
    story: &Story,
    decisive: &Decisive,
    client: Option<&Client>,
    connection: &Connection,
) -> Result<Vec<WhatIf>, Failure> {
    let mut all = Vec::new();
    let mut runtime = None;
    for turn in &decisive.rollback {
        let policy = turn.call.policy.clone();
        let Answered::Ok(answer) = &turn.call.answer else {
            continue;
        };
        if story.mode(&policy) != Some(PolicyMode::Enforce) {
            continue;
        }
        let mut asked = story.began.policies.iter();
        let Some(asked) = asked.find(|asked| asked.policy == policy) else {
            continue;
        };
        let runtime = match &runtime {
            Some(runtime) => runtime,
            None => runtime.insert(cache(connection).runtime()?),
        };
        let policy = match loaded(runtime, asked, client).await {
            Ok(loaded) => loaded,
            Err(why) => {
                all.push(WhatIf::Unknown { policy, why });
                continue;
            }
        };
        let settings = asked.settings.to_string();
        let question = &decisive.question;
        let state = &turn.next_state;
        let change = replay::what_if(&policy, &settings, question, answer.verdict, state).await;
        all.push(match change {
            Some(change) => WhatIf::Known(change),
            None => WhatIf::Unknown {
                policy: asked.policy.clone(),
                why: "it gave no usable answer when it was asked again".to_owned(),
            },
        });
    }
    Ok(all)
}

/// The policy that was asked, of the same bytes, from this binary or from the host.
async fn loaded(
    runtime: &PolicyRuntime,
    asked: &Asked,
    client: Option<&Client>,
) -> Result<caxton_runtime::policy::Policy, String> {
    let missing = |why: &str| {
        format!(
            "its bytes (sha256 {}) are not those of a policy in this binary, and {why}",
            asked.digest
        )
    };
    let bytes = match (embedded(asked.digest), client) {
        (Some(bytes), _) => bytes,
        (None, None) => return Err(missing("no host runs here that may have them")),
        (None, Some(client)) => {
            let path = format!("policies/{}", asked.digest);
            let bytes = client.bytes(&path, POLICY_BYTES_MAX).await;
            bytes.map_err(|failure| missing(&format!("the host does not give them: {failure}")))?
        }
    };
    let loaded = runtime.load(&asked.policy, bytes).await;
    let policy = loaded.map_err(|refusal| refusal.to_string())?;
    if policy.digest() == asked.digest {
        Ok(policy)
    } else {
        Err(missing("the host gave other ones"))
    }
}

/// The policy in this binary that has these bytes.
fn embedded(digest: Digest) -> Option<Vec<u8>> {
    for (_, bytes) in policies::embedded() {
        if Digest::new(Sha256::digest(bytes).into()) == digest {
            return Some(bytes.to_vec());
        }
    }
    None
}

/// Where compiled code is kept: beside the host, if it is on this machine.
fn cache(connection: &Connection) -> CacheArgs {
    let environment = std::env::var_os("CAXTON_DATA_DIR").filter(|dir| !dir.is_empty());
    let data_dir = connection.data_dir.clone();
    CacheArgs {
        data_dir: data_dir
            .or_else(|| environment.map(PathBuf::from))
            .unwrap_or_else(|| DEFAULT_DATA_DIR.into()),
    }
}

fn as_json(story: &Story, what_if: &[WhatIf]) -> serde_json::Value {
    let what_if: Vec<serde_json::Value> = what_if
        .iter()
        .map(|one| match one {
            WhatIf::Known(change) => json!(change),
            WhatIf::Unknown { policy, why } => json!({"policy": policy, "unknown": why}),
        })
        .collect();
    json!({
        "reload": story.began.reload,
        "agent": story.began.agent,
        "began_at": story.began.at,
        "policies": story.began.policies,
        "entries": story.entries,
        "left_out": story.left_out,
        "result": story.result,
        "what_if": what_if,
    })
}

#[cfg(test)]
#[path = "explain/tests.rs"]
mod tests;
