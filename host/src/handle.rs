//! How the admin surface reaches the controller: it reads what was published and sends operators' orders.

use std::sync::Arc;

use arc_swap::ArcSwap;
use caxton_rollout::{AgentName, Order, OrderError};
use tokio::sync::{mpsc, oneshot};

use crate::published::Published;

/// Orders that may wait for the controller, which takes one in well under a millisecond.
pub(crate) const ORDERS_WAITING: usize = 64;

/// An order and where its answer goes.
#[derive(Debug)]
pub(crate) struct Ordered {
    pub agent: AgentName,
    pub order: Order,
    pub reply: oneshot::Sender<Result<(), OrderError>>,
}

/// A way to the controller that can be cloned and held by anyone.
#[derive(Debug, Clone)]
pub struct ControllerHandle {
    orders: mpsc::Sender<Ordered>,
    published: Arc<ArcSwap<Published>>,
}

/// Why an order has no effect.
#[derive(Debug, thiserror::Error)]
pub enum NotOrdered {
    /// The core did not take it.
    #[error(transparent)]
    Refused(#[from] OrderError),
    /// The host is stopping.
    #[error("the host is stopping and takes no orders any more")]
    Stopping,
}

impl ControllerHandle {
    pub(crate) fn new() -> (Self, mpsc::Receiver<Ordered>, Arc<ArcSwap<Published>>) {
        let (orders, taken) = mpsc::channel(ORDERS_WAITING);
        let published = Arc::new(ArcSwap::from_pointee(Published::default()));
        let handle = Self {
            orders,
            published: Arc::clone(&published),
        };
        (handle, taken, published)
    }

    /// What the controller showed last.
    #[must_use]
    pub fn published(&self) -> Arc<Published> {
        self.published.load_full()
    }

    /// Gives an order; returns when the core has taken it, which is not when its effect is there.
    ///
    /// # Errors
    /// The core refuses it (nothing has changed then), or the host is stopping.
    pub async fn order(&self, agent: AgentName, order: Order) -> Result<(), NotOrdered> {
        let (reply, answer) = oneshot::channel();
        let ordered = Ordered {
            agent,
            order,
            reply,
        };
        self.orders
            .send(ordered)
            .await
            .map_err(|_| NotOrdered::Stopping)?;
        Ok(answer.await.map_err(|_| NotOrdered::Stopping)??)
    }
}
