//! Whose files are looked into next, a few at a time.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;

use caxton_rollout::AgentName;
use caxton_watch::Change;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Controller;

/// What is to be looked into, with a place for it.
pub(super) enum Look {
    /// What the directory says; none once it says nothing any more.
    Change(Option<Change>, OwnedSemaphorePermit),
    /// The contents of an agent that were refused for what they say about a policy.
    Again(AgentName, OwnedSemaphorePermit),
}

/// The next contents to look into, once there is a place: until then they stay with the watcher, which holds few, or with
/// their agent. Dropped before its end it has taken nothing.
pub(super) async fn next_look(
    places: &Arc<Semaphore>,
    again: &mut BTreeSet<AgentName>,
    change: impl Future<Output = Option<Change>>,
    deaf: bool,
) -> Look {
    let Ok(place) = Arc::clone(places).acquire_owned().await else {
        return std::future::pending().await;
    };
    match again.pop_first() {
        Some(agent) => Look::Again(agent, place),
        None if deaf => std::future::pending().await,
        None => Look::Change(change.await, place),
    }
}

impl Controller {
    pub(super) fn on_look(&mut self, look: Look) {
        match look {
            Look::Change(Some(change), place) => self.on_change(change, place),
            Look::Change(None, _) => self.on_deaf(),
            Look::Again(agent, place) => {
                let entry = self.agents.get_mut(&agent);
                // None where something newer is being looked into already.
                if let Some(again) = entry.and_then(|entry| entry.again.take()) {
                    self.inspect(agent.as_ref(), again.component, again.config, place);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn who_waits_is_looked_into_one_after_another_and_only_with_a_place() {
        let places = Arc::new(Semaphore::new(2));
        let names = ["a", "b", "c"].map(|name| AgentName::try_new(name).unwrap());
        let mut again = BTreeSet::from(names);
        let mut taken = Vec::new();
        for _ in 0..2 {
            let change = std::future::pending();
            match next_look(&places, &mut again, change, false).await {
                Look::Again(agent, place) => taken.push((agent, place)),
                Look::Change(..) => panic!("nothing has changed"),
            }
        }
        let full = next_look(&places, &mut again, std::future::ready(None), false);
        assert!(full.now_or_never().is_none(), "there is no place");
        assert_eq!(again.len(), 1, "and nothing was taken");
        drop(taken.pop());
        // One that waits comes before what the directory says, and before its end.
        let look = next_look(&places, &mut again, std::future::ready(None), true).await;
        assert!(matches!(&look, Look::Again(agent, _) if agent.as_ref() == "c"));
        drop(look);
        let look = next_look(&places, &mut again, std::future::ready(None), false).await;
        assert!(matches!(&look, Look::Change(None, _)));
        drop(look);
        let deaf = next_look(&places, &mut again, std::future::ready(None), true);
        assert!(deaf.now_or_never().is_none());
        assert_eq!(
            places.available_permits(),
            1,
            "whoever waits holds no place"
        );
    }
}
