use std::sync::Arc;

use super::*;
use crate::mint::Mint;
use crate::{
    Action, AgentName, Blame, Content, Digest, Event, Identity, Moment, PolicyRef, Settings,
    Verdict,
};

/// Tells the agent something at a second, and answers what can be answered well.
fn tell(agent: &mut Agent, mint: &mut Mint, second: u64, event: Event) -> Vec<Command> {
    let mut out = Vec::new();
    let mut cx = Cx {
        now: Moment(second * 1_000),
        agent: agent.name.clone(),
        out: &mut out,
        mint,
        start: 0,
        deeds: Vec::new(),
    };
    agent.step(&mut cx, event);
    if let Some(reload) = agent.reload.as_mut() {
        reload.has_slot = true;
    }
    let name = agent.name.clone();
    for command in out.clone() {
        let agent_name = name.clone();
        let answer = match command {
            Command::Pin { ticket, .. } => Event::Pinned {
                agent: agent_name,
                ticket,
                result: Ok(()),
            },
            Command::Prepare { ticket, .. } => Event::Prepared {
                agent: agent_name,
                ticket,
            },
            Command::Plan {
                ticket, configured, ..
            } => Event::Planned {
                agent: agent_name,
                ticket,
                plan: Ok(configured),
            },
            Command::Remember {
                ticket: Some(ticket),
                ..
            } => Event::Written {
                agent: agent_name,
                ticket,
                result: Ok(()),
            },
            _ => continue,
        };
        out.extend(tell(agent, mint, second, answer));
    }
    out
}

fn wanted(agent: &AgentName, component: u8) -> Event {
    let identity = Identity {
        component: Digest::new([component; 32]),
        config: Digest::new([0; 32]),
    };
    Event::Wanted {
        agent: agent.clone(),
        content: Content {
            identity,
            size: 1,
            has_health: false,
            stateful: false,
        },
        settings: Arc::new(Settings::default()),
    }
}

/// The core never forgets the version that it would go back to. If it did, a demand for it must be seen and do nothing.
#[test]
fn a_rollback_to_nowhere_is_refused_told_and_shown() {
    let name = AgentName::try_new("hello").unwrap();
    let (mut agent, mut mint) = (Agent::new(name.clone()), Mint::new(1));
    tell(&mut agent, &mut mint, 0, wanted(&name, 1));
    tell(&mut agent, &mut mint, 1, Event::Time);
    tell(&mut agent, &mut mint, 2, wanted(&name, 2));
    tell(&mut agent, &mut mint, 3, Event::Time);
    let serving = agent.serving;
    agent.versions.records.remove(&agent.permanent.unwrap());
    let measured = Event::Measured {
        agent: name.clone(),
        start: Moment(3_000),
        end: Moment(4_000),
        versions: Vec::new(),
    };
    let asked = tell(&mut agent, &mut mint, 4, measured);
    let ticket = asked.iter().find_map(|command| match command {
        Command::Judge { ticket, .. } => Some(*ticket),
        _ => None,
    });
    let answer = RollbackAnswer {
        verdict: Verdict::Rollback(Blame::Candidate),
        why: Explanation {
            summary: "it fails".to_owned(),
            ..Explanation::default()
        },
        state: Vec::new(),
    };
    let judged = Event::Judged {
        agent: name,
        ticket: ticket.unwrap(),
        rollback: vec![("evidence".to_owned(), Ok(answer))],
        strategy: None,
    };
    let out = tell(&mut agent, &mut mint, 4, judged);
    let Some(Command::Decided(decision)) = out.first() else {
        panic!("{out:?}");
    };
    let reason = "evidence: it fails; there is no version to go back to".to_owned();
    assert_eq!(decision.outcome.action, Action::Hold { reason });
    assert_eq!(
        decision.outcome.clamps,
        ["the rollback that evidence demands was refused: there is no version to go back to"]
    );
    assert_eq!(agent.serving, serving);
    assert_eq!(agent.view(Moment(4_000)).attention[0].kind, "held");
}

/// The policies that a round asks, and its ticket.
fn asked(out: &[Command]) -> (Vec<&str>, Ticket) {
    let judge = out.iter().find_map(|command| match command {
        Command::Judge {
            ticket, rollback, ..
        } => Some((rollback, *ticket)),
        _ => None,
    });
    let (calls, ticket) = judge.unwrap();
    (
        calls.iter().map(|call| call.name.as_str()).collect(),
        ticket,
    )
}

#[test]
fn a_monitor_is_asked_again_once_it_has_answered_and_is_heard_however_late() {
    let name = AgentName::try_new("hello").unwrap();
    let (mut agent, mut mint) = (Agent::new(name.clone()), Mint::new(1));
    tell(&mut agent, &mut mint, 0, wanted(&name, 1));
    tell(&mut agent, &mut mint, 1, Event::Time);
    let mut second = wanted(&name, 2);
    if let Event::Wanted { settings, .. } = &mut second {
        let watching = PolicyRef {
            name: "watching".to_owned(),
            mode: PolicyMode::Monitor,
            settings: "{}".to_owned(),
        };
        Arc::make_mut(settings).rollback.policies.push(watching);
    }
    tell(&mut agent, &mut mint, 2, second);
    tell(&mut agent, &mut mint, 3, Event::Time);
    let round = |agent: &mut Agent, mint: &mut Mint, second: u64| {
        let measured = Event::Measured {
            agent: name.clone(),
            start: Moment((second - 1) * 1_000),
            end: Moment(second * 1_000),
            versions: Vec::new(),
        };
        let out = tell(agent, mint, second, measured);
        let (policies, ticket) = asked(&out);
        let policies: Vec<_> = policies.into_iter().map(str::to_owned).collect();
        let judged = Event::Judged {
            agent: name.clone(),
            ticket,
            rollback: Vec::new(),
            strategy: None,
        };
        tell(agent, mint, second, judged);
        (policies, ticket)
    };
    let (policies, first) = round(&mut agent, &mut mint, 4);
    assert_eq!(policies, ["evidence", "watching"]);
    for second in 5..9 {
        assert_eq!(round(&mut agent, &mut mint, second).0, ["evidence"]);
    }
    let fault = Fault {
        policy: "watching".to_owned(),
        kind: FaultKind::OutOfTime,
        message: "it took too long".to_owned(),
    };
    let monitored = Event::Monitored {
        agent: name.clone(),
        ticket: first,
        rollback: vec![("watching".to_owned(), Err(fault))],
    };
    tell(&mut agent, &mut mint, 9, monitored);
    let faults = |agent: &Agent| agent.reload.as_ref().unwrap().judges["watching"].faults;
    assert_eq!(faults(&agent), 1);
    assert_eq!(round(&mut agent, &mut mint, 10).0, ["evidence", "watching"]);
    // One whose answer is lost is given up some day.
    assert_eq!(round(&mut agent, &mut mint, 69).0, ["evidence"]);
    assert_eq!(round(&mut agent, &mut mint, 70).0, ["evidence", "watching"]);
}
