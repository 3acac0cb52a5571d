//! What became of an agent's reloads: written at their ends, amended afterwards, and read when one is taken up again.

use crate::agent::{Agent, MAX_HISTORY};
use crate::mint::Cx;
use crate::reload::{Progress, Reload};
use crate::versions::described;
use std::sync::Arc;

use crate::{
    Command, ErrorKind, HotReloadId, HotReloadResult, HotReloadStatus, Outcome, Past, Plan,
};

impl Agent {
    /// Writes the reload's result, in place of an earlier one of the same reload.
    pub(crate) fn finish(
        &mut self,
        cx: &mut Cx<'_>,
        status: HotReloadStatus,
        outcome: Outcome,
        reason: Option<(String, Option<ErrorKind>)>,
    ) {
        let Some(reload) = self.reload.as_ref() else {
            return;
        };
        let back = match &reload.progress {
            Progress::Returning(back) if status == HotReloadStatus::RolledBack => Some(back),
            _ => None,
        };
        let (from, to) = match back {
            Some(back) => (Some(back.bad), Some(back.target)),
            None => (reload.stable, Some(reload.number)),
        };
        let error_kind = reason.as_ref().and_then(|(_, kind)| *kind);
        let reason = reason.map(|(reason, _)| reason);
        let (rollback_reason, error) = if back.is_some() {
            (reason, None)
        } else {
            (None, reason)
        };
        let result = HotReloadResult {
            id: reload.id,
            status,
            strategy: reload.strategy(),
            from,
            to,
            started_at: reload.started,
            completed_at: cx.now,
            rollback_reason,
            error,
            error_kind,
            evidence: reload.evidence,
            metrics: reload.metrics(),
            state: match back {
                Some(back) => back.state,
                None => reload.state,
            },
            lost_requests: reload.lost,
        };
        let version = described(reload.number, &reload.content);
        self.keep_result(
            cx,
            Past {
                result,
                version,
                outcome,
            },
        );
    }

    /// Puts a result in front of the history, in place of an earlier one of the same reload.
    pub(crate) fn keep_result(&mut self, cx: &mut Cx<'_>, past: Past) {
        let result = past.result.clone();
        self.history.retain(|past| past.result.id != result.id);
        self.history.push_front(Arc::new(past));
        self.history.truncate(MAX_HISTORY);
        cx.command(Command::Finished {
            agent: self.name.clone(),
            result,
        });
    }

    /// Changes a result that was already given out.
    pub(crate) fn amend(
        &mut self,
        cx: &mut Cx<'_>,
        id: HotReloadId,
        change: impl FnOnce(&mut HotReloadResult),
    ) {
        if let Some(past) = self.history.iter_mut().find(|past| past.result.id == id) {
            let past = Arc::make_mut(past);
            change(&mut past.result);
            let result = past.result.clone();
            cx.command(Command::Finished {
                agent: self.name.clone(),
                result,
            });
        }
    }

    /// The reload that brought in the permanent version, as it was when it completed.
    pub(crate) fn reopened(&self, cx: &mut Cx<'_>) -> Option<Reload> {
        let number = self.permanent?;
        let record = self.versions.records.get(&number)?;
        let settings = self.wanted.as_ref().map(|wanted| wanted.settings.clone());
        let settings = settings.unwrap_or_default();
        let mut reload = Reload::new(cx, record.reload, number, record.content, settings);
        reload.progress = Progress::Settled(HotReloadStatus::Completed);
        let past = self
            .history
            .iter()
            .find(|past| past.result.id == record.reload);
        if let Some(result) = past.map(|past| &past.result) {
            reload.progress = Progress::Settled(result.status);
            reload.stable = result.from;
            reload.started = result.started_at;
            reload.evidence = result.evidence;
            reload.lost = result.lost_requests;
            reload.state = result.state;
            reload.earlier = Some(result.metrics.clone());
            reload.plan = Some(Plan {
                strategy: result.strategy,
                ..reload.configured()
            });
        }
        Some(reload)
    }
}
