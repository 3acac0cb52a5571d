//! How a request gets a place at a version: chosen by the table, waited for at the gate where the agent's state moves.
//!
//! The table, the gate and the version are three things that change at three moments, and a request may come between
//! any two of them. So none is believed alone: the version has the last word, and whoever it turns away as closed waits
//! at the gate and begins again with the table of then. The request itself is untouched meanwhile.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use caxton_runtime::{Admission, CallError, CallInfo};
use http::HeaderMap;
use http_body::Body;
use tokio::time::{Instant, sleep_until};

use super::reached::Reached;
use super::refused::Refused;
use super::settings::GATE_PAUSE;
use crate::gate::{Gate, GateError, Turn};
use crate::routes::{Listener, RoutingTable, Served};

/// Bytes of a body that may wait at the gate. With the number of those that wait there this bounds what they hold.
const HELD_BODY: u64 = 64 << 10;

/// A place at the version that was reached.
pub(crate) struct Admitted {
    pub(crate) info: CallInfo,
    pub(crate) admission: Admission,
    /// To be kept until the call has begun; `None` where nobody waits for it.
    pub(crate) turn: Option<Turn>,
    /// Who hears a copy.
    pub(crate) listener: Option<Listener>,
}

/// Gets the request a place at the version that is to answer it; `reached` becomes that one.
pub(crate) async fn admit(
    routes: &ArcSwap<RoutingTable>,
    reached: &mut Reached,
    headers: &HeaderMap,
) -> Result<Admitted, Refused> {
    let mut wait = Wait::default();
    loop {
        let gate = reached.serving()?.gate.clone();
        if let Some(gate) = &gate
            && wait.turn.is_none()
        {
            let gate_timeout = reached.serving()?.gate_timeout;
            let waited = wait.at(gate, gate_timeout).await;
            if waited.map_err(|error| refused(reached, error))? {
                reached.look_anew(&routes.load())?;
                continue;
            }
        }
        let (served, key) = reached.choose(headers)?;
        if wait.is_for_others_too() && is_full(served) && wait.pause().await {
            reached.look_anew(&routes.load())?;
            continue;
        }
        let info = CallInfo {
            affinity: key,
            ..CallInfo::default()
        };
        match served.version.admit(info) {
            Ok(admission) => {
                return Ok(Admitted {
                    info,
                    admission,
                    turn: wait.turn.filter(Turn::was_waited_for),
                    listener: reached.serving()?.listener.clone(),
                });
            }
            Err(CallError::Closed) => {
                let gate = gate.ok_or(Refused::Replaced)?;
                let waited = wait.again(&gate).await;
                waited.map_err(|error| refused(reached, error))?;
                reached.look_anew(&routes.load())?;
            }
            Err(error) => return Err(Refused::Call(error)),
        }
    }
}

/// Waits while the agent's gate is closed, before a body is read that is large or has no length: it stays with its caller until there is
/// somebody to hand it to. Smaller ones wait whole, in the order in which they came.
pub(crate) async fn before_body(
    routes: &ArcSwap<RoutingTable>,
    reached: &mut Reached,
    body: &impl Body,
) -> Result<(), Refused> {
    let serving = reached.serving()?;
    let closed = serving.gate.clone().filter(|gate| gate.is_closed());
    let small = body
        .size_hint()
        .upper()
        .is_some_and(|length| length <= HELD_BODY);
    let (Some(gate), false) = (closed, small) else {
        return Ok(());
    };
    let passed = gate.pass(serving.gate_timeout).await;
    drop(passed.map_err(|error| refused(reached, error))?);
    reached.look_anew(&routes.load())
}

/// Nobody answers: no version is named by it.
fn refused(reached: &mut Reached, error: GateError) -> Refused {
    reached.forget();
    Refused::Gate(error)
}

/// Whether the version has as many calls as it may. Those who waited are not shed because they all come at once: the
/// one whose turn it is waits for room, and everybody behind it.
fn is_full(served: &Served) -> bool {
    served.version.in_flight() >= served.version.limits().concurrency
}

/// The wait of one request: it may have several parts, and all of them together have one end.
#[derive(Default)]
struct Wait {
    turn: Option<Turn>,
    latest: Option<Instant>,
}

impl Wait {
    /// Whether others wait until this request is admitted.
    fn is_for_others_too(&self) -> bool {
        self.turn.as_ref().is_some_and(Turn::was_waited_for)
    }

    /// Goes through the gate, and tells whether that meant waiting.
    async fn at(&mut self, gate: &Arc<Gate>, gate_timeout: Duration) -> Result<bool, GateError> {
        let now = Instant::now();
        let latest = *self.latest.get_or_insert(now + gate_timeout);
        let turn = gate.pass(latest.saturating_duration_since(now)).await?;
        let waited = turn.was_waited_for();
        self.turn = Some(turn);
        Ok(waited)
    }

    /// The version was closed all the same: waits again, before everybody else where the request had waited already.
    async fn again(&mut self, gate: &Gate) -> Result<(), GateError> {
        let latest = self.latest.ok_or(GateError::Timeout)?;
        let turn = self.turn.take().filter(Turn::was_waited_for);
        if !gate.is_closed() {
            // The table or the version is a moment behind. To ask without a pause would take the processor from them.
            self.turn = turn;
            return if self.pause().await {
                Ok(())
            } else {
                Err(GateError::Timeout)
            };
        }
        if let Some(turn) = turn {
            let left = latest.saturating_duration_since(Instant::now());
            self.turn = Some(turn.again(left).await?);
        }
        // Who had not waited goes to the end of the queue, as anybody who comes now.
        Ok(())
    }

    /// Waits a moment; `false` when no time is left.
    async fn pause(&self) -> bool {
        let now = Instant::now();
        let Some(latest) = self.latest.filter(|latest| now < *latest) else {
            return false;
        };
        sleep_until(latest.min(now + GATE_PAUSE)).await;
        true
    }
}
