//! What the trial does: whom it deploys, how, and how often.

use std::path::PathBuf;
use std::time::Duration;

use crate::traffic::Ask;

/// How a trial is done.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The host.
    pub binary: PathBuf,
    /// How often it is killed.
    pub times: u32,
    /// Of everything that is left to chance here.
    pub seed: u64,
    /// How long a host may take from its start to the first answer of every agent.
    pub start_within: Duration,
    /// How often each status and each kind of write has to be hit; 0: it is told and not asked for.
    pub each_at_least: u32,
    /// How long a host lives at most.
    pub longest_life: Duration,
    /// Clients of each agent.
    pub clients: usize,
    /// Between two requests of a client.
    pub pause: Duration,
}

impl Plan {
    /// As the acceptance line asks for it.
    #[must_use]
    pub fn of(binary: PathBuf, times: u32) -> Self {
        Self {
            binary,
            times,
            seed: 5,
            start_within: Duration::from_secs(10),
            each_at_least: 5,
            longest_life: Duration::from_secs(6),
            clients: 2,
            pause: Duration::from_millis(4),
        }
    }
}

/// An agent of the trial.
#[derive(Debug)]
pub struct Agent {
    /// Its name.
    pub name: &'static str,
    /// Its NAME.toml.
    pub config: &'static str,
    /// It counts its calls, and keeps the count.
    pub counts: bool,
    /// Its reloads may cut calls.
    pub cuts: bool,
}

/// One of each strategy, and one with state.
pub const AGENTS: [Agent; 5] = [
    Agent {
        name: "graceful",
        config: "[reload]\nstrategy = \"graceful\"\n",
        counts: false,
        cuts: false,
    },
    Agent {
        name: "immediate",
        config: "[reload]\nstrategy = \"immediate\"\n",
        counts: false,
        cuts: true,
    },
    Agent {
        name: "parallel",
        config: "[reload]\nstrategy = \"parallel\"\nmirror = { at_least = \"200ms\", at_least_requests = 5 }\n",
        counts: false,
        cuts: false,
    },
    Agent {
        name: "splitting",
        config: "[reload]\nstrategy = \"traffic-splitting\"\n\
                 stages = [{ split = 20, at_least = \"200ms\", at_least_requests = 5 }, \
                 { split = 50, at_least = \"200ms\", at_least_requests = 5 }]\n",
        counts: false,
        cuts: false,
    },
    Agent {
        name: "counter",
        config: "[reload]\nstrategy = \"graceful\"\n[state]\ncheckpoint = \"100ms\"\n",
        counts: true,
        cuts: false,
    },
];

impl Agent {
    /// The kind of the agent of this name, which may have more behind a hyphen.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        let kind = name.split('-').next();
        AGENTS.iter().find(|agent| Some(agent.name) == kind)
    }

    /// What its clients ask.
    #[must_use]
    pub fn ask(&self) -> Ask {
        self.ask_of(self.name)
    }

    /// What the clients of an agent of this kind ask.
    #[must_use]
    pub fn ask_of(&self, name: &str) -> Ask {
        let path = if self.counts {
            format!("/{name}")
        } else {
            format!("/{name}/sleep/3")
        };
        Ask {
            agent: name.to_owned(),
            path,
            post: self.counts,
        }
    }
}

/// Times that let a reload be over in two seconds, and every step of it last long enough to be hit.
pub const CONFIG: &str = "\
[host]
tick = \"100ms\"
settle = \"50ms\"
rescan = \"500ms\"
remove_grace = \"1s\"
[defaults.reload]
warm_up = \"150ms\"
bake = \"600ms\"
keep_previous = \"1s\"
deadline = \"6s\"
[defaults.rollback]
policies = [{ name = \"thresholds\", settings = { minimum_sample = 10 } }]
breaker = { count = 0 }
";
