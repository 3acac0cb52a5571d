//! What the view knows: what the host said last, and what the person at the keys is about.

use std::collections::VecDeque;

use crate::cli::text::Tone;
use crate::cli::views::{Agent, Attention, Happened};

/// Events that are kept for the tail: many screens full of any one agent, among those of others.
const EVENTS_KEPT: usize = 2_000;

/// Everything that is drawn.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) agents: Vec<Agent>,
    /// What waits for a person and belongs to no agent.
    pub(super) host: Vec<Attention>,
    /// By name, so that the selection stays with its agent when others come and go.
    selected: Option<String>,
    events: VecDeque<Happened>,
    pub(super) link: Link,
    /// An order that waits for its confirmation.
    pub(super) ask: Option<Ask>,
    /// What became of the last order; until the next key, and not for long.
    pub(super) said: Option<Said>,
    pub(super) help: bool,
}

/// Whether the host answers.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) enum Link {
    /// Nothing was heard yet.
    #[default]
    Waiting,
    Up,
    /// It went away; why, and the moment from which it did not answer, in milliseconds since the Unix epoch.
    Lost {
        why: String,
        since: u64,
    },
}

/// What was heard.
#[derive(Debug)]
pub(super) enum News {
    Seen {
        agents: Vec<Agent>,
        host: Vec<Attention>,
    },
    Happened(Happened),
    /// No answer, and why; and when that was.
    Lost {
        why: String,
        at: u64,
    },
    /// What became of an order.
    Ordered(Said),
}

/// A sentence about an order, and when it was said, in milliseconds since the Unix epoch.
#[derive(Debug, Clone)]
pub(super) struct Said {
    pub(super) text: String,
    pub(super) tone: Tone,
    pub(super) at: u64,
}

/// An order to one agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) agent: String,
    pub(super) order: Order,
}

/// What can be ordered here. Everything else has a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Pause,
    Resume,
    Promote,
    Rollback,
}

impl Order {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Promote => "promote",
            Self::Rollback => "rollback",
        }
    }
}

impl State {
    /// A state in which this agent is selected as soon as it is seen.
    pub(super) fn selecting(agent: Option<String>) -> Self {
        Self {
            selected: agent,
            ..Self::default()
        }
    }

    pub(super) fn take(&mut self, news: News) {
        match news {
            News::Seen { agents, host } => {
                self.agents = agents;
                self.host = host;
                self.link = Link::Up;
            }
            News::Happened(event) => {
                self.events.push_back(event);
                if self.events.len() > EVENTS_KEPT {
                    self.events.pop_front();
                }
            }
            News::Lost { why, at } => {
                let since = match self.link {
                    Link::Lost { since, .. } => since,
                    Link::Waiting | Link::Up => at,
                };
                self.link = Link::Lost { why, since };
            }
            News::Ordered(said) => self.said = Some(said),
        }
    }

    /// The place of the selected agent in the list; the first where none is selected or the selected one is gone.
    pub(super) fn index(&self) -> usize {
        let is_selected = |agent: &Agent| Some(&agent.agent) == self.selected.as_ref();
        self.agents.iter().position(is_selected).unwrap_or(0)
    }

    /// The selected agent.
    pub(super) fn agent(&self) -> Option<&Agent> {
        self.agents.get(self.index())
    }

    /// Selects the agent at this place, or the last.
    pub(super) fn select(&mut self, index: usize) {
        let index = index.min(self.agents.len().saturating_sub(1));
        self.selected = self.agents.get(index).map(|agent| agent.agent.clone());
    }

    /// The last events about an agent and about the host itself, oldest first, at most so many.
    pub(super) fn tail(&self, agent: &str, most: usize) -> Vec<&Happened> {
        let about = |event: &&Happened| event.agent.as_deref().is_none_or(|name| name == agent);
        let mut tail: Vec<&Happened> = self.events.iter().rev().filter(about).take(most).collect();
        tail.reverse();
        tail
    }

    /// Things that wait for a person, everywhere.
    pub(super) fn waiting_for_people(&self) -> usize {
        let of_agents = self.agents.iter().map(|agent| agent.attention.len());
        self.host.len() + of_agents.sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(names: &[&str]) -> News {
        let agent = |name: &&str| Agent {
            agent: (*name).to_owned(),
            ..Agent::default()
        };
        News::Seen {
            agents: names.iter().map(agent).collect(),
            host: Vec::new(),
        }
    }

    fn selected(state: &State) -> Option<&str> {
        state.agent().map(|agent| agent.agent.as_str())
    }

    #[test]
    fn the_selection_stays_with_its_agent() {
        let mut state = State::selecting(Some("b".to_owned()));
        assert_eq!(selected(&state), None);
        state.take(seen(&["a", "b", "c"]));
        assert_eq!(selected(&state), Some("b"));
        state.take(seen(&["aa", "a", "b"]));
        assert_eq!((selected(&state), state.index()), (Some("b"), 2));
        state.take(seen(&["a"]));
        assert_eq!(selected(&state), Some("a"));
        // It was away for a moment only.
        state.take(seen(&["a", "b"]));
        assert_eq!(selected(&state), Some("b"));
        state.select(9);
        assert_eq!(selected(&state), Some("b"));
    }

    #[test]
    fn a_host_that_is_away_has_been_so_since_it_went() {
        let lost = |at| News::Lost {
            why: "x".to_owned(),
            at,
        };
        let since = |state: &State| match state.link {
            Link::Lost { since, .. } => Some(since),
            _ => None,
        };
        let mut state = State::default();
        state.take(lost(5));
        state.take(lost(7));
        assert_eq!(since(&state), Some(5));
        state.take(seen(&[]));
        assert_eq!(since(&state), None);
        state.take(lost(9));
        assert_eq!(since(&state), Some(9));
    }

    #[test]
    fn the_tail_is_the_agents_and_the_hosts_and_bounded() {
        let mut state = State::default();
        for number in 0..EVENTS_KEPT as u64 + 10 {
            let agent = ["a", "b", ""][usize::try_from(number % 3).unwrap()];
            state.take(News::Happened(Happened {
                at: number,
                agent: (!agent.is_empty()).then(|| agent.to_owned()),
                ..Happened::default()
            }));
        }
        assert_eq!(state.events.len(), EVENTS_KEPT);
        let tail: Vec<u64> = state.tail("a", 4).iter().map(|event| event.at).collect();
        assert_eq!(tail, [2_004, 2_006, 2_007, 2_009].map(|n: u64| n));
    }
}
