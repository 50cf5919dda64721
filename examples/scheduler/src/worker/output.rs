//! The end of what a command writes: a bounded buffer, filled by whoever reads the pipes.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt};

/// Keeps the last bytes.
#[derive(Debug)]
pub(super) struct Tail {
    bytes: Mutex<VecDeque<u8>>,
    len_max: usize,
}

impl Tail {
    pub(super) fn new(len_max: usize) -> Self {
        Self { bytes: Mutex::new(VecDeque::with_capacity(len_max)), len_max }
    }

    /// Reads until the end; what is too much is forgotten.
    pub(super) async fn fill(&self, mut pipe: impl AsyncRead + Unpin) {
        let mut buffer = [0; 4096];
        // A pipe that cannot be read any more has no more to say.
        while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
            self.push(buffer.get(..count).unwrap_or_default());
        }
    }

    fn push(&self, new: &[u8]) {
        let mut bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        bytes.extend(new);
        let surplus = bytes.len().saturating_sub(self.len_max);
        bytes.drain(..surplus);
    }

    /// What was kept, as text; at most as many bytes as are kept.
    pub(super) fn text(&self) -> String {
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes: Vec<u8> = bytes.iter().copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        // A byte that is not text becomes three.
        let start = text.len().saturating_sub(self.len_max);
        let start = (start..=text.len()).find(|index| text.is_char_boundary(*index)).unwrap_or(text.len());
        text.get(start..).unwrap_or_default().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_is_kept() {
        let tail = Tail::new(4);
        tail.push(b"abcdef");
        tail.push(b"gh");
        assert_eq!(tail.text(), "efgh");
    }

    #[test]
    fn what_is_not_text_stays_within_the_limit() {
        let tail = Tail::new(8);
        tail.push(&[0xff; 20]);
        assert!(tail.text().len() <= 8);
    }
}
