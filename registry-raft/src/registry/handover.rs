//! Work that must be undone when its caller goes away: it runs in a task of its own, and learns whether its result was
//! taken.

use tokio::sync::oneshot;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// The task's end: delivers the result, and tells when nobody waits for it any more.
#[derive(Debug)]
pub(super) struct Kept<T> {
    result: oneshot::Sender<T>,
    taken: oneshot::Receiver<()>,
    gone: CancellationToken,
}

impl<T> Kept<T> {
    /// Resolves when the caller has gone away without a result.
    pub(super) async fn gone(&self) {
        self.gone.cancelled().await;
    }

    /// Hands the result over; whether the caller has it. It may go away with the result on its way, and then does not
    /// have it: a channel alone could not tell.
    pub(super) async fn deliver(self, result: T) -> bool {
        self.result.send(result).is_ok() && self.taken.await.is_ok()
    }
}

/// Runs `work` in a task; resolves to what it delivers. Dropping the future tells the work that the caller is gone.
/// `None`: the task ended without a result.
pub(super) fn hand_over<T, W, F>(tasks: &TaskTracker, work: W) -> impl Future<Output = Option<T>> + use<T, W, F>
where
    T: Send + 'static,
    W: FnOnce(Kept<T>) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let (result, delivered) = oneshot::channel();
    let (take, taken) = oneshot::channel();
    let gone = CancellationToken::new();
    let guard = gone.clone().drop_guard();
    tasks.spawn(work(Kept { result, taken, gone }));
    receive(delivered, take, guard)
}

async fn receive<T>(delivered: oneshot::Receiver<T>, take: oneshot::Sender<()>, gone: DropGuard) -> Option<T> {
    let result = delivered.await.ok()?;
    // From here to the return there is no point at which the future can be dropped with the result inside.
    gone.disarm();
    let _task_gone = take.send(());
    Some(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_result_that_is_taken_is_kept() {
        let tasks = TaskTracker::new();
        let (kept, outcome) = oneshot::channel();
        let handed = hand_over(&tasks, |keeper| async move {
            kept.send(keeper.deliver(7).await).unwrap();
        });
        assert_eq!(handed.await, Some(7));
        assert!(outcome.await.unwrap());
    }

    #[tokio::test]
    async fn a_result_that_was_delivered_to_a_caller_who_left_is_not_kept() {
        let tasks = TaskTracker::new();
        let (kept, outcome) = oneshot::channel();
        let handed = hand_over(&tasks, |keeper| async move {
            kept.send(keeper.deliver(7).await).unwrap();
        });
        // The task runs up to its delivery before the caller looks.
        tokio::task::yield_now().await;
        drop(handed);
        assert!(!outcome.await.unwrap());
    }

    #[tokio::test]
    async fn work_is_told_that_its_caller_left() {
        let tasks = TaskTracker::new();
        let (told, outcome) = oneshot::channel();
        let handed = hand_over(&tasks, |keeper: Kept<u8>| async move {
            keeper.gone().await;
            told.send(()).unwrap();
        });
        drop(handed);
        outcome.await.unwrap();
    }
}
