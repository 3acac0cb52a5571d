//! What a request has reached so far: the agent, and the version that is to answer it. Whoever answers or fails is named
//! by it.

use std::sync::Arc;

use caxton_runtime::Version;
use http::{HeaderMap, HeaderValue};

use super::refused::Refused;
use crate::routes::{Route, RoutingTable, Served, Serving, Target, draw};

/// The agent of a request, and a version of it once one was chosen.
pub(crate) struct Reached {
    route: Arc<Route>,
    /// The version, and the request's key.
    chosen: Option<(Served, Option<u64>)>,
    /// Drawn once, so that a request without a key that looks its route up anew is the same one to every share.
    drawn: u64,
}

impl Reached {
    pub(crate) fn new(route: Arc<Route>) -> Self {
        Self {
            route,
            chosen: None,
            drawn: draw(),
        }
    }

    pub(crate) fn agent(&self) -> &str {
        self.route.name.as_ref()
    }

    /// The value of `x-caxton-version`, once a version was chosen.
    pub(crate) fn version_header(&self) -> Option<&HeaderValue> {
        self.served().map(Served::header)
    }

    /// The version that was chosen.
    pub(crate) fn version(&self) -> Result<&Version, Refused> {
        // It always was, once a place was had; were it not, the caller had better come again.
        let served = self.served().ok_or(Refused::Replaced)?;
        Ok(&served.version)
    }

    fn served(&self) -> Option<&Served> {
        self.chosen.as_ref().map(|(served, _)| served)
    }

    pub(crate) fn serving(&self) -> Result<&Serving, Refused> {
        match &self.route.target {
            Target::Serving(serving) => Ok(serving),
            Target::Unavailable { why } => Err(Refused::Unavailable { why: why.clone() }),
        }
    }

    /// The version that is to answer, chosen if it is not yet, and the request's key.
    pub(crate) fn choose(
        &mut self,
        headers: &HeaderMap,
    ) -> Result<(&Served, Option<u64>), Refused> {
        let (served, key) = match self.chosen.take() {
            Some(chosen) => chosen,
            None => {
                let serving = self.serving()?;
                let key = serving.affinity.key(headers);
                (serving.answering(key, self.drawn).clone(), key)
            }
        };
        let (served, key) = self.chosen.insert((served, key));
        Ok((served, *key))
    }

    /// As if no version had been chosen yet.
    pub(crate) fn forget(&mut self) {
        self.chosen = None;
    }

    /// Looks the agent up in the table of now: another version may have taken over.
    pub(crate) fn look_anew(&mut self, table: &RoutingTable) -> Result<(), Refused> {
        self.forget();
        self.route = table.agent(&self.route.name).ok_or(Refused::Replaced)?;
        Ok(())
    }
}
