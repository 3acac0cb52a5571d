//! Spans, for whoever follows one request or one reload through several programs.
//!
//! They are made only where they are exported: without `OTEL_*` nobody is interested in their target, and each costs a look
//! at one flag.

use std::collections::BTreeMap;

use caxton_rollout::{AgentName, Happened, HotReloadId, HotReloadResult, HotReloadStatus, Notice};
use http::{HeaderMap, Request, StatusCode};
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::TraceContextExt;
use opentelemetry_http::{HeaderExtractor, HeaderInjector};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// What spans are known by in filters: they are exported, and stand in no log.
pub(crate) const TARGET: &str = "caxton::trace";

/// The span of a request, inside the caller's where it names one (W3C `traceparent`).
pub(crate) fn of_request<B>(request: &Request<B>) -> Span {
    let span = tracing::info_span!(
        target: TARGET,
        parent: None,
        "request",
        otel.kind = "server",
        otel.status_code = Empty,
        http.request.method = %request.method(),
        url.path = request.uri().path(),
        http.response.status_code = Empty,
        caxton.agent = Empty,
        caxton.version = Empty,
        "error.type" = Empty,
    );
    if !span.is_disabled() {
        let caller = TraceContextPropagator::new().extract(&HeaderExtractor(request.headers()));
        // Where spans are exported there is somebody to tell.
        let _ = span.set_parent(caller);
    }
    span
}

/// Makes the agent's own spans children of the request's. Without exports what the caller sent goes on as it is.
pub(crate) fn pass_on(headers: &mut HeaderMap) {
    let span = Span::current();
    if !span.is_disabled() {
        TraceContextPropagator::new().inject_context(&span.context(), &mut HeaderInjector(headers));
    }
}

/// How the request was answered, and by whom.
pub(crate) fn answered(
    agent: Option<&str>,
    version: Option<&str>,
    status: StatusCode,
    refused: Option<&str>,
) {
    let span = Span::current();
    if span.is_disabled() {
        return;
    }
    span.record("http.response.status_code", status.as_u16());
    if let Some(agent) = agent {
        // As a field a name counts only until the span's context was asked for.
        span.context().span().update_name(agent.to_owned());
        span.record("caxton.agent", agent);
    }
    if let Some(version) = version {
        span.record("caxton.version", version);
    }
    if let Some(refused) = refused {
        span.record("error.type", refused);
    }
    if status.is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
}

/// A trace for each reload: one span from its beginning to its end, and inside it one for each status.
#[derive(Default)]
pub(crate) struct ReloadSpans(BTreeMap<HotReloadId, ReloadSpan>);

struct ReloadSpan {
    reload: Span,
    /// Ends where it is replaced.
    step: Span,
}

impl ReloadSpans {
    /// Begins a span, or the next step of one.
    pub(crate) fn told(&mut self, notice: &Notice) {
        let Some(id) = notice.reload else {
            return;
        };
        match &notice.what {
            Happened::ReloadStarted { from, to, .. } => self.begin(id, &notice.agent, *from, *to),
            Happened::StatusChanged { to, reason, .. } => self.step(id, *to, reason.as_deref()),
            _ => {}
        }
    }

    fn begin(
        &mut self,
        id: HotReloadId,
        agent: &AgentName,
        from: Option<caxton_rollout::VersionNumber>,
        to: caxton_rollout::VersionNumber,
    ) {
        let reload = tracing::info_span!(
            target: TARGET,
            parent: None,
            "reload",
            otel.name = format!("reload {agent}"),
            otel.status_code = Empty,
            otel.status_description = Empty,
            caxton.agent = %agent,
            caxton.reload = %id,
            caxton.from = from.map(tracing::field::display),
            caxton.to = %to,
            caxton.status = Empty,
        );
        if reload.is_disabled() {
            return;
        }
        let step = step(&reload, HotReloadStatus::Pending, None);
        self.0.insert(id, ReloadSpan { reload, step });
    }

    fn step(&mut self, id: HotReloadId, status: HotReloadStatus, reason: Option<&str>) {
        if let Some(open) = self.0.get_mut(&id) {
            open.step = step(&open.reload, status, reason);
        }
    }

    /// Ends them.
    pub(crate) fn ended(&mut self, result: &HotReloadResult) {
        let Some(open) = self.0.remove(&result.id) else {
            return;
        };
        open.reload
            .record("caxton.status", super::word(result.status));
        let why = result.rollback_reason.as_ref().or(result.error.as_ref());
        if let Some(why) = why {
            open.reload.record("otel.status_code", "ERROR");
            open.reload.record("otel.status_description", why);
        }
    }
}

fn step(reload: &Span, status: HotReloadStatus, reason: Option<&str>) -> Span {
    tracing::info_span!(
        target: TARGET,
        parent: reload,
        "step",
        otel.name = super::word(status),
        caxton.reason = reason,
    )
}
