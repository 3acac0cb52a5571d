//! An agent as a start finds it: what is remembered of it, and what becomes of the reload that the end of the host interrupted.
//!
//! Nothing skips ahead: the reload has ended, under its own identifier, and begins again from its first stage when the directory
//! asks for the same content, under a new one and with the same version number. One that was on its way back is back.

use std::sync::Arc;

use crate::agent::{Agent, Wanted};
use crate::endings::Endings;
use crate::mint::Cx;
use crate::revive::Revival;
use crate::usage::Used;
use crate::versions::{Life, Record, described};
use crate::{
    Aside, Command, Content, ErrorKind, Evidence, Happened, HotReloadId, HotReloadResult,
    HotReloadStatus, Memory, Moment, Outcome, Past, ReloadMemory, ReloadMetrics, Restored,
    ReturnMemory, RollbackCause, Settings, VersionMemory, VersionNumber,
};

/// Why a reload ends that the end of the host interrupted. Stands in the history, where a second start finds it again.
const INTERRUPTED: &str =
    "the host ended while it went on; it begins again when its file is still there";

/// Why a version is watched no more that had completed without enough evidence.
const WATCHED_NO_MORE: &str = "the host ended while it was watched";

/// A reload that was interrupted and has not begun again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Interrupted {
    pub(crate) id: HotReloadId,
    /// Its version, which keeps its number.
    pub(crate) number: VersionNumber,
}

impl Agent {
    /// The agent, cold, and the reload that went on.
    pub(crate) fn restored(
        now: Moment,
        memory: Memory,
        settings: Option<Arc<Settings>>,
    ) -> (Self, Option<ReloadMemory>) {
        let told = memory.clone();
        let mut agent = Self {
            next: memory.next,
            kept: memory.kept,
            permanent: memory.permanent,
            endings: Endings::restored(now, memory.endings),
            history: memory.history.into(),
            last_error: memory.last_error,
            removed_at: memory.removed_at.map(|at| at.min(now)),
            rollbacks: memory.rollbacks.iter().map(|at| *at.min(&now)).collect(),
            seen_at: now,
            told,
            ..Self::new(memory.agent)
        };
        for version in memory.versions {
            agent.contents.insert(version.content.identity);
            agent
                .versions
                .records
                .insert(version.number, cold(&version));
        }
        let known = |number: &VersionNumber| agent.versions.records.contains_key(number);
        agent.kept.retain(known);
        agent.permanent = agent.permanent.filter(known);
        // A number that was given out is never given out again, whatever is remembered of the next one.
        let last = agent.versions.records.keys().next_back().copied();
        agent.next = agent.next.and_then(|next| match last {
            Some(last) if last >= next => last.next(),
            _ => Some(next),
        });
        if memory.wanted.is_some() {
            agent.wanted = agent.permanent_content().map(|content| Wanted {
                content,
                settings: settings.unwrap_or_default(),
                since: now,
            });
            agent.revival = agent.wanted.as_ref().map(|_| Revival::new(now));
        } else if let Some(old) = agent.permanent.take() {
            agent.kept.insert(0, old);
        }
        agent.in_use = [agent.permanent, None];
        agent.interrupted = agent.interrupted_earlier();
        (agent, memory.reload)
    }

    fn permanent_content(&self) -> Option<Content> {
        self.versions.content(self.permanent?)
    }

    /// One that an earlier start found, and that has not begun again since: nothing else names its version.
    fn interrupted_earlier(&self) -> Option<Interrupted> {
        let open = |number: VersionNumber| {
            let named = self.permanent == Some(number) || self.kept.contains(&number);
            self.versions.records.contains_key(&number) && !named
        };
        let past = self.history.iter().find(|past| {
            past.result.error.as_deref() == Some(INTERRUPTED) && open(past.version.number)
        })?;
        Some(Interrupted {
            id: past.result.id,
            number: past.version.number,
        })
    }

    /// Ends what was interrupted, says so, and brings up what is permanent.
    pub(crate) fn come_back(&mut self, cx: &mut Cx<'_>, went_on: Option<ReloadMemory>) {
        let id = went_on.as_ref().map(|reload| reload.id);
        let candidate = went_on.as_ref().map(|reload| reload.number);
        let became = went_on.and_then(|reload| self.end_interrupted(cx, reload));
        // It comes up as it was saved last. What others answer before it serves, it does not know of.
        if let Some(permanent) = self.permanent.filter(|number| self.keeps_state(*number)) {
            self.versions.save(permanent, cx.now, Restored::Snapshot);
        }
        if became.is_some() || self.permanent.is_some() {
            cx.tell(
                id,
                Happened::Restored {
                    permanent: self.permanent,
                    candidate,
                    became,
                },
            );
        }
        self.advance(cx, Vec::new());
    }

    /// What became of the reload that went on.
    fn end_interrupted(
        &mut self,
        cx: &mut Cx<'_>,
        mut reload: ReloadMemory,
    ) -> Option<HotReloadStatus> {
        let content = self.versions.content(reload.number)?;
        // A way back that was decided is taken to its end, whatever the reload had been until then.
        let (status, goes_on) = match reload.returning.take() {
            Some(back) => (self.has_gone_back(cx, &reload, content, back), false),
            None if reload.status == HotReloadStatus::Completed => {
                let (number, reason) = (reload.number, WATCHED_NO_MORE.to_owned());
                cx.tell(Some(reload.id), Happened::Disarmed { number, reason });
                (HotReloadStatus::Completed, false)
            }
            None => {
                self.keep_interrupted(cx, &reload);
                let reason = Some(INTERRUPTED.to_owned());
                self.end_as(cx, &reload, content, HotReloadStatus::Cancelled, reason);
                (HotReloadStatus::Cancelled, true)
            }
        };
        if !goes_on {
            // It had begun again what was interrupted before: that is over with it.
            if self
                .interrupted
                .is_some_and(|earlier| earlier.number == reload.number)
            {
                self.forget_interrupted(cx);
            }
            let agent = self.name.clone();
            cx.command(Command::Unpin {
                agent,
                reload: reload.id,
            });
        }
        Some(status)
    }

    /// Its version keeps its number. Where it had not got its policies yet, those of the reload that it began again are held on to.
    fn keep_interrupted(&mut self, cx: &mut Cx<'_>, reload: &ReloadMemory) {
        let earlier = self.history.iter().find(|past| {
            past.result.error.as_deref() == Some(INTERRUPTED)
                && past.version.number == reload.number
        });
        let earlier = earlier.map(|past| past.result.id);
        let id = match (reload.status, earlier) {
            (HotReloadStatus::Pending, Some(earlier)) => earlier,
            _ => reload.id,
        };
        for other in [Some(reload.id), earlier].into_iter().flatten() {
            if other != id {
                let agent = self.name.clone();
                cx.command(Command::Unpin {
                    agent,
                    reload: other,
                });
            }
        }
        self.interrupted = Some(Interrupted {
            id,
            number: reload.number,
        });
    }

    fn has_gone_back(
        &mut self,
        cx: &mut Cx<'_>,
        reload: &ReloadMemory,
        content: Content,
        back: ReturnMemory,
    ) -> HotReloadStatus {
        let ReturnMemory {
            target,
            aside,
            reason,
        } = back;
        if let Some(aside) = aside {
            self.set_aside(cx, reload.id, content.identity, aside, reason.clone());
        }
        self.last_error = Some(reason.clone());
        if aside == Some(Aside::Ended) {
            let status = HotReloadStatus::Cancelled;
            self.end_as(cx, reload, content, status, Some(reason));
            return status;
        }
        if self.permanent == Some(reload.number) && self.versions.content(target).is_some() {
            self.arrive_at(target, reload.number);
            if let (Some(wanted), Some(content)) = (&mut self.wanted, self.versions.content(target))
            {
                wanted.content = content;
            }
        }
        let id = reload.id;
        if reload.status != HotReloadStatus::RollingBack {
            let (from, to) = (reload.status, HotReloadStatus::RollingBack);
            cx.tell(
                Some(id),
                Happened::StatusChanged {
                    from,
                    to,
                    reason: Some(reason.clone()),
                },
            );
        }
        cx.tell(
            Some(id),
            Happened::RolledBack {
                from: reload.number,
                to: target,
                reason: reason.clone(),
                blame: None,
                cause: RollbackCause::Earlier,
            },
        );
        let back = ReloadMemory {
            status: HotReloadStatus::RollingBack,
            returning: Some(ReturnMemory {
                target,
                aside,
                reason: reason.clone(),
            }),
            ..reload.clone()
        };
        let status = HotReloadStatus::RolledBack;
        self.end_as(cx, &back, content, status, Some(reason));
        status
    }

    /// Writes its result, with what an earlier one of the same reload knew.
    fn end_as(
        &mut self,
        cx: &mut Cx<'_>,
        reload: &ReloadMemory,
        content: Content,
        status: HotReloadStatus,
        reason: Option<String>,
    ) {
        let before = self
            .history
            .iter()
            .find(|past| past.result.id == reload.id)
            .map(|past| past.result.clone());
        let returning = reload
            .returning
            .as_ref()
            .filter(|_| status == HotReloadStatus::RolledBack);
        let (from, to) = match returning {
            Some(back) => (Some(reload.number), Some(back.target)),
            None => (reload.stable, Some(reload.number)),
        };
        let by_somebody = |back: &ReturnMemory| {
            back.aside.is_none() || back.reason == crate::orders::by_operator().reason
        };
        let automatic = returning.is_some_and(|back| !by_somebody(back));
        let (rollback_reason, error) = match returning {
            Some(_) => (reason.clone(), None),
            None => (None, reason.clone()),
        };
        let result = HotReloadResult {
            id: reload.id,
            status,
            strategy: reload.strategy,
            from,
            to,
            started_at: reload.started_at,
            completed_at: cx.now.max(reload.started_at),
            rollback_reason,
            error,
            error_kind: automatic.then_some(ErrorKind::AutomaticRollback),
            evidence: before
                .as_ref()
                .map_or(Evidence::None, |before| before.evidence),
            metrics: before
                .as_ref()
                .map_or_else(ReloadMetrics::default, |before| before.metrics.clone()),
            state: None,
            lost_requests: before.as_ref().map_or(0, |before| before.lost_requests),
        };
        let outcome = match status {
            HotReloadStatus::RolledBack => Outcome::RolledBack,
            _ => Outcome::Cancelled,
        };
        let (from, to) = (reload.status, status);
        let version = described(reload.number, &content);
        self.keep_result(
            cx,
            Past {
                result,
                version,
                outcome,
            },
        );
        cx.tell(
            Some(reload.id),
            Happened::StatusChanged { from, to, reason },
        );
    }

    /// The reload that this content begins again, if it does; another one lets go of what was held for it.
    pub(crate) fn take_interrupted(
        &mut self,
        cx: &mut Cx<'_>,
        content: &Content,
        serves_already: bool,
    ) -> Option<Interrupted> {
        let interrupted = self.interrupted.take()?;
        let same = self.versions.is(Some(interrupted.number), content);
        if same && !serves_already {
            return Some(interrupted);
        }
        self.interrupted = Some(interrupted);
        self.forget_interrupted(cx);
        None
    }

    /// It does not begin again.
    pub(crate) fn forget_interrupted(&mut self, cx: &mut Cx<'_>) {
        if let Some(interrupted) = self.interrupted.take() {
            let (agent, reload) = (self.name.clone(), interrupted.id);
            cx.command(Command::Unpin { agent, reload });
        }
    }
}

fn cold(version: &VersionMemory) -> Record {
    Record {
        content: version.content,
        life: Life::Cold,
        reload: version.reload,
        created_at: version.created_at,
        saved: None,
        used: version.usage.map(Used::from).unwrap_or_default(),
        usage: version.usage,
    }
}
