//! An agent as people see it.

use crate::Aside;
use crate::agent::Agent;
use crate::answers::FAULTS_TO_SHOW;
use crate::reload::{Judge, Progress, Reload};
use crate::stages::count;
use crate::{
    AgentState, AgentView, Attention, EndingMemory, Judgement, Moment, OnInconclusive, OnUnproven,
    QuarantineView, ReloadView, VerdictView, VersionNumber, VersionView, WantedView,
};

impl Agent {
    pub(crate) fn view(&self, now: Moment) -> AgentView {
        let going = self.going();
        let wanted = self.wanted.as_ref().map(|wanted| wanted.content.identity);
        let candidate = going.filter(|reload| !matches!(reload.progress, Progress::Returning(_)));
        let mut kept: Vec<VersionView> =
            self.kept.iter().filter_map(|n| self.version(*n)).collect();
        kept.sort_by_key(|version| std::cmp::Reverse(version.number));
        AgentView {
            agent: self.name.clone(),
            state: self.state(),
            stable: self.permanent.and_then(|number| self.version(number)),
            candidate: candidate.and_then(|reload| self.version(reload.number)),
            split: candidate.map_or(0, Reload::split),
            split_actual: candidate.and_then(|reload| reload.metrics().traffic_split_actual),
            reload: going.map(|reload| self.reload_view(now, reload)),
            quarantined: self.quarantined(),
            attention: self.attention(now),
            last_error: self.last_error.clone(),
            wanted: wanted.map(|identity| WantedView {
                digest: identity.component,
                config_digest: identity.config,
            }),
            diverged: self
                .diverged(now)
                .map(|diverged| diverged.reason(self, now)),
            serving: self.serving,
            permanent: self.permanent,
            kept,
            verdicts: self.reload.as_ref().map_or_else(Vec::new, Reload::verdicts),
        }
    }

    /// The reload, unless it has completed and is only watched.
    fn going(&self) -> Option<&Reload> {
        self.reload
            .as_ref()
            .filter(|reload| !reload.progress.status().is_terminal())
    }

    fn state(&self) -> AgentState {
        match (self.serving, &self.wanted, &self.reload) {
            (Some(_), _, _) => AgentState::Serving,
            (None, None, _) => AgentState::Stopped,
            (None, Some(_), Some(_)) => AgentState::Starting,
            (None, Some(_), None) if self.comes_up() => AgentState::Starting,
            (None, Some(_), None) => AgentState::Failed,
        }
    }

    fn version(&self, number: VersionNumber) -> Option<VersionView> {
        let record = self.versions.records.get(&number)?;
        let identity = record.content.identity;
        Some(VersionView {
            number,
            digest: identity.component,
            config_digest: identity.config,
            usage: record.usage,
        })
    }

    fn reload_view(&self, now: Moment, reload: &Reload) -> ReloadView {
        let reason = match &reload.progress {
            Progress::Returning(back) => Some(back.why.reason.clone()),
            _ => reload.waits_for(self.has_room()).map(|waits| waits.text()),
        };
        let held = reload.held.as_ref().map(|(text, _)| text.clone());
        let lasts = reload.lasts();
        ReloadView {
            id: reload.id,
            status: reload.progress.status(),
            strategy: reload.strategy(),
            stage: reload.stage_index(),
            stages: count(reload.stages().len()),
            started_at: reload.started,
            paused: reload.paused,
            reason: reason.clone().or(held),
            since: reload.since,
            at_least_ms: lasts.map(|(at_least, _, _)| millis(at_least)),
            at_least_requests: lasts.map(|(_, needed, _)| needed),
            requests: lasts.map(|(_, _, requests)| requests),
            waits_for: self.carry.as_ref().map_or_else(
                || reason.or_else(|| reload.waits_with(now)),
                |carry| Some(format!("version {} is to get the state back", carry.target)),
            ),
        }
    }

    fn quarantined(&self) -> Vec<QuarantineView> {
        let view = |ending: &EndingMemory| QuarantineView {
            digest: ending.identity.component,
            config_digest: ending.identity.config,
            reason: ending.reason.clone(),
            since: ending.since,
            blamed: ending.aside == Aside::Quarantined,
            again_at: ending.again_at,
        };
        self.endings.iter().map(view).collect()
    }

    fn attention(&self, now: Moment) -> Vec<Attention> {
        let mut list = Vec::new();
        let name = &self.name;
        if let Some(diverged) = self.diverged(now) {
            let reason = diverged.reason(self, now);
            list.push(Attention {
                kind: diverged.kind(),
                since: diverged.since(self).unwrap_or(now),
                text: format!("what the directory asks for does not come in: {reason}"),
                command: format!("caxton retry {name}"),
            });
        }
        list.extend(self.not_up_attention());
        list.extend(self.crash_attention());
        list.extend(self.unwell_attention());
        let due = self.due.as_ref();
        list.extend(due.and_then(|due| due.trouble(name.as_ref())));
        if let Some(refused) = &self.refused {
            list.push(Attention {
                kind: "order-failed",
                since: refused.since,
                text: refused.text.clone(),
                command: refused.command.clone(),
            });
        }
        if let Some(reload) = &self.reload {
            reload.attention(now, name.as_ref(), self.has_room(), &mut list);
        }
        list
    }
}

impl Reload {
    fn attention(&self, now: Moment, name: &str, has_room: bool, list: &mut Vec<Attention>) {
        let since = self.since;
        let mut add = |kind, since, text, command: String| {
            list.push(Attention {
                kind,
                since,
                text,
                command,
            });
        };
        if let Some(waits) = self.waits_for(has_room) {
            let command = format!("caxton status {name}");
            add(waits.kind(), since, waits.text(), command);
        }
        if self.paused {
            let text = "an operator paused the reload".to_owned();
            add("paused", since, text, format!("caxton resume {name}"));
        }
        if let Some((text, since)) = self.held_by(now) {
            let through = if self.progress.is_before_swap() {
                ""
            } else {
                " --now"
            };
            add(
                "held",
                since,
                text,
                format!("caxton promote {name}{through}"),
            );
        }
        if let Some(text) = self.needs() {
            add(
                "needs-operator",
                since,
                text,
                format!("caxton resume {name}"),
            );
        }
        for (policy, judge) in self
            .judges
            .iter()
            .chain([(&self.settings.reload.policy, &self.strategy)])
        {
            if judge.faults >= FAULTS_TO_SHOW {
                let text = format!("{} faults in a row: {}", judge.faults, judge.why.summary);
                add(
                    "policy-faulty",
                    judge.faulty_since,
                    text,
                    format!("caxton policy inspect {policy}"),
                );
            }
        }
        if let Progress::Unproven { .. } = self.progress {
            let number = self.number;
            let text =
                format!("version {number} completed without enough evidence and is watched on");
            add(
                "unproven",
                since,
                text,
                format!("caxton promote {name} --now"),
            );
        }
    }

    /// What an operator has to let go on.
    fn needs(&self) -> Option<String> {
        let (_, split) = self.stage()?;
        let percent = split.percent;
        if split.ordered {
            return Some(format!(
                "an operator set the share to {percent} per cent, where it stays until they let it go on"
            ));
        }
        self.waits_for_operator().then(|| {
            format!(
                "the stage with {percent} per cent is done, and an operator has to let it go on"
            )
        })
    }

    /// What it waits for where it is on its way, in a sentence; none where it waits for nothing.
    fn waits_with(&self, now: Moment) -> Option<String> {
        if matches!(self.progress, Progress::HandingOver(_)) {
            return Some("its state is on its way to the new version".to_owned());
        }
        if self.paused {
            return Some("an operator paused it".to_owned());
        }
        if let Some((text, _)) = self.held_by(now) {
            return Some(text);
        }
        if self.needs().is_some() {
            return self.needs();
        }
        let watched = self.progress.is_on_trial() || matches!(self.progress, Progress::Baking);
        let judged = watched && self.is_judged();
        match self.round.as_ref().map(|round| &round.judgement) {
            None if judged => return Some("the policies have not looked yet".to_owned()),
            Some(Judgement::Fault { policy }) if judged => {
                return Some(format!("policy {policy} gives no usable answer"));
            }
            Some(Judgement::Undecided) if judged => {
                return Some("there is not enough evidence yet".to_owned());
            }
            _ => {}
        }
        let (at_least, needed, requests) = self.lasts()?;
        let left = self.since.after(at_least).since(now);
        if !left.is_zero() {
            return Some(format!("{} s are left of it", left.as_secs().max(1)));
        }
        (requests < needed).then(|| format!("{requests} of {needed} requests are answered"))
    }

    /// What keeps it where it is until an operator acts or the evidence changes.
    pub(crate) fn held_by(&self, now: Moment) -> Option<(String, Moment)> {
        if self.held.is_some() {
            return self.held.clone();
        }
        let late = self.deadline().filter(|deadline| *deadline <= now);
        if let Some(late) = late
            && self.settings.reload.on_inconclusive == OnInconclusive::Hold
        {
            return Some((
                "it made no progress and waits for an operator".to_owned(),
                late,
            ));
        }
        let round = self
            .round
            .as_ref()
            .filter(|_| self.progress.is_on_trial() || matches!(self.progress, Progress::Baking))?;
        match &round.judgement {
            Judgement::Hold { policy, why } => {
                Some((format!("{policy}: {}", why.summary), round.since))
            }
            // One that could be followed has ended the reload.
            Judgement::Rollback { policy, why, .. } => {
                let text = format!(
                    "{policy}: {}; there is no version to go back to",
                    why.summary
                );
                Some((text, round.since))
            }
            Judgement::Undecided
                if matches!(self.progress, Progress::Baking)
                    && round.at >= self.bake_end()
                    && self.settings.reload.on_unproven == OnUnproven::Hold =>
            {
                let text = "the bake ended without enough evidence".to_owned();
                Some((text, self.bake_end()))
            }
            _ => None,
        }
    }

    fn verdicts(&self) -> Vec<VerdictView> {
        let view = |(policy, judge): (&String, &Judge)| VerdictView {
            policy: policy.clone(),
            enforcing: judge.mode == crate::PolicyMode::Enforce,
            verdict: judge.verdict,
            why: judge.why.clone(),
            faults: judge.faults,
            at: judge.at,
        };
        self.judges.iter().map(view).collect()
    }
}

fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
