//! The body of a request that is sent while it comes. It is whole, or the request fails.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::storage::Content;

/// Takes a content apart and hands it over, part by part.
pub struct Pump {
    content: Content,
    left: u64,
    size: u64,
    wait: Duration,
    parts: mpsc::Sender<io::Result<Bytes>>,
}

/// What the HTTP client reads.
pub struct Parts {
    parts: mpsc::Receiver<io::Result<Bytes>>,
    left: u64,
}

/// How it ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Pumped {
    /// All of it was handed over.
    Whole,
    /// It broke off, or came to another length.
    Broken(String),
    /// Nobody took the next part for so long.
    Stalled,
    /// Nobody wants any more of it.
    Refused,
}

/// No more than one part waits.
pub fn channel(content: Content, size: u64, wait: Duration) -> (Pump, Parts) {
    let (sender, receiver) = mpsc::channel(1);
    let pump = Pump { content, left: size, size, wait, parts: sender };
    (pump, Parts { parts: receiver, left: size })
}

impl Pump {
    pub async fn run(mut self) -> Pumped {
        while let Some(part) = self.content.next().await {
            let part = match part {
                Ok(part) => part,
                Err(error) => return self.broken(error.to_string()).await,
            };
            match self.left.checked_sub(part.len() as u64) {
                Some(left) => self.left = left,
                None => {
                    let size = self.size;
                    return self.broken(format!("more than the {size} bytes that were said came")).await;
                }
            }
            match timeout(self.wait, self.parts.send(Ok(part))).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Pumped::Refused,
                Err(_) => return Pumped::Stalled,
            }
        }
        match self.left {
            0 => Pumped::Whole,
            left => {
                let (came, size) = (self.size - left, self.size);
                self.broken(format!("{came} of {size} bytes came")).await
            }
        }
    }

    /// The request is not to look whole to the other side.
    async fn broken(self, why: String) -> Pumped {
        let error = io::Error::new(io::ErrorKind::UnexpectedEof, why.clone());
        // Whoever reads no more needs no telling.
        let _ = timeout(self.wait, self.parts.send(Err(error))).await;
        Pumped::Broken(why)
    }
}

impl Body for Parts {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let polled = self.parts.poll_recv(cx);
        if let Poll::Ready(Some(Ok(part))) = &polled {
            self.left = self.left.saturating_sub(part.len() as u64);
        }
        polled.map(|part| part.map(|part| part.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    const WAIT: Duration = Duration::from_secs(10);

    fn content(parts: &[&'static str]) -> Content {
        let parts: Vec<_> = parts.iter().map(|part| Ok(Bytes::from_static(part.as_bytes()))).collect();
        Box::pin(stream::iter(parts))
    }

    async fn all(mut parts: Parts) -> (Vec<u8>, bool) {
        let mut bytes = Vec::new();
        while let Some(part) = std::future::poll_fn(|cx| Pin::new(&mut parts).poll_frame(cx)).await {
            match part {
                Ok(frame) => bytes.extend_from_slice(&frame.into_data().unwrap_or_default()),
                Err(_) => return (bytes, false),
            }
        }
        (bytes, true)
    }

    #[tokio::test]
    async fn what_comes_whole_is_whole() {
        let (pump, parts) = channel(content(&["to", "to", "to"]), 6, WAIT);
        assert_eq!(tokio::join!(pump.run(), all(parts)), (Pumped::Whole, (b"tototo".to_vec(), true)));
    }

    #[tokio::test]
    async fn what_is_longer_or_shorter_never_looks_whole() {
        for parts in [&["to", "to"][..], &["to", "to", "to", "t"], &[]] {
            let (pump, parts) = channel(content(parts), 6, WAIT);
            let (pumped, (_, whole)) = tokio::join!(pump.run(), all(parts));
            assert!(matches!(pumped, Pumped::Broken(_)) && !whole, "{pumped:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_waited_for_without_end() {
        let (pump, parts) = channel(content(&["to", "to", "to"]), 6, WAIT);
        let begun = tokio::time::Instant::now();
        assert_eq!(pump.run().await, Pumped::Stalled);
        assert_eq!(begun.elapsed(), WAIT);
        drop(parts);
        let (pump, parts) = channel(content(&["to", "to", "to"]), 6, WAIT);
        drop(parts);
        assert_eq!(pump.run().await, Pumped::Refused);
    }
}
