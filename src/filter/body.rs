//! The engine's body on its way through the pass.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame};
use thiserror::Error;

use super::redact::{FilterError, Redactor};

/// How much of an answer is filtered before other connections have their turn, in bytes. A piece takes about a
/// tenth of a millisecond.
const PIECE: usize = 32 * 1024;

/// Why a body ends before its end.
#[derive(Debug, Error)]
pub enum BodyError {
    /// The engine broke off.
    #[error(transparent)]
    Upstream(#[from] hyper::Error),
    /// What came cannot be filtered.
    #[error("the answer cannot be filtered: {0}")]
    Filter(#[from] FilterError),
}

/// A body that is filtered as it comes. Trailers are left out: they are not part of what was judged.
pub struct FilteredBody<B> {
    body: B,
    /// One after the other; there is at least one.
    passes: Vec<Redactor>,
    /// What came and is not filtered yet.
    pending: Bytes,
    /// Where a pass writes to, and what the one before it wrote.
    out: Vec<u8>,
    before: Vec<u8>,
    /// What was filtered before the head was sent.
    first: VecDeque<Bytes>,
    /// Whether others have their turn before the next piece.
    yields: bool,
    ended: bool,
}

impl<B: Body<Data = Bytes, Error: Into<BodyError>> + Unpin> FilteredBody<B> {
    /// Takes `body` through all `passes`, one after the other.
    pub fn new(body: B, passes: Vec<Redactor>) -> Self {
        Self {
            body,
            passes,
            pending: Bytes::new(),
            out: Vec::new(),
            before: Vec::new(),
            first: VecDeque::new(),
            yields: false,
            ended: false,
        }
    }

    /// Waits until something of the answer can go on, or its end.
    ///
    /// # Errors
    /// [`BodyError`] if nothing ever can; then nothing of the answer has passed.
    pub async fn begin(&mut self) -> Result<(), BodyError> {
        if let Some(first) = poll_fn(|cx| self.poll_filtered(cx)).await {
            self.first.push_back(first?);
        }
        Ok(())
    }

    fn poll_filtered(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        loop {
            if self.ended {
                return Poll::Ready(None);
            }
            if self.yields {
                self.yields = false;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if self.pending.is_empty() {
                match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                    Some(Ok(frame)) => self.pending = frame.into_data().unwrap_or_default(),
                    Some(Err(error)) => return Poll::Ready(Some(Err(self.end_with(error)))),
                    None => return Poll::Ready(self.finish().err().map(Err)),
                }
                continue;
            }
            if let Some(piece) = self.filter_piece().transpose() {
                return Poll::Ready(Some(piece));
            }
        }
    }

    /// Filters one piece; nothing of it may go on yet.
    fn filter_piece(&mut self) -> Result<Option<Bytes>, BodyError> {
        let piece = self.pending.split_to(self.pending.len().min(PIECE));
        self.yields = true;
        if let Err(error) = self.push(&piece) {
            return Err(self.end_with(error));
        }
        Ok((!self.out.is_empty()).then(|| Bytes::copy_from_slice(&self.out)))
    }

    /// Takes a piece through all passes; what is left of it is then in `out`.
    fn push(&mut self, piece: &[u8]) -> Result<(), FilterError> {
        self.out.clear();
        let mut passes = self.passes.iter_mut();
        if let Some(first) = passes.next() {
            first.push(piece, &mut self.out)?;
        }
        for pass in passes {
            std::mem::swap(&mut self.out, &mut self.before);
            self.out.clear();
            pass.push(&self.before, &mut self.out)?;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), BodyError> {
        self.ended = true;
        Ok(self.passes.iter_mut().try_for_each(Redactor::finish)?)
    }

    fn end_with(&mut self, error: impl Into<BodyError>) -> BodyError {
        self.ended = true;
        self.pending = Bytes::new();
        error.into()
    }
}

impl<B: Body<Data = Bytes, Error: Into<BodyError>> + Unpin> Body for FilteredBody<B> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(first) = self.first.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        self.poll_filtered(cx).map(|next| next.map(|result| result.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.ended && self.first.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http_body_util::{BodyExt, Full};

    use super::super::json::Framing;
    use super::super::redact::Plan;
    use super::*;
    use crate::policy::redaction::{Classes, Redaction};
    use crate::policy::visibility::{Lists, Visibility};

    fn filtered(text: String) -> FilteredBody<impl Body<Data = Bytes, Error = BodyError> + Unpin> {
        let plan = Plan::new(Redaction::new(Classes::ALL, vec![], vec![]), Visibility::default());
        let redactor = Redactor::new(Arc::new(plan), Framing::Document, Lists::None);
        FilteredBody::new(Full::new(Bytes::from(text)).map_err(|never| match never {}), vec![redactor])
    }

    #[test]
    fn others_have_their_turn_after_each_piece_whether_or_not_something_goes_on() {
        for text in [
            format!("[{}]", vec!["\"stays\""; 40_000].join(",")),
            format!("{{\"Labels\":{{\"a\":\"{}\"}}}}", "goes".repeat(80_000)),
        ] {
            let pieces = text.len().div_ceil(PIECE);
            let mut body = filtered(text);
            let mut cx = Context::from_waker(std::task::Waker::noop());
            let mut turns = 0;
            loop {
                match Pin::new(&mut body).poll_frame(&mut cx) {
                    Poll::Pending => turns += 1,
                    Poll::Ready(Some(frame)) => drop(frame.unwrap()),
                    Poll::Ready(None) => break,
                }
            }
            assert_eq!(turns, pieces);
        }
    }

    #[tokio::test]
    async fn what_passed_before_the_head_was_sent_comes_first() {
        let mut body = filtered("[1, 2]".to_owned());
        body.begin().await.unwrap();
        assert!(!body.is_end_stream());
        assert_eq!(body.collect().await.unwrap().to_bytes(), "[1, 2]");
    }

    #[tokio::test]
    async fn nothing_comes_after_a_failure() {
        let mut body = filtered("[1, x]".to_owned());
        assert!(matches!(body.begin().await, Err(BodyError::Filter(_))));
        assert!(body.frame().await.is_none());
        let mut body = filtered("[1".to_owned());
        body.begin().await.unwrap();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "[1");
        assert!(body.frame().await.unwrap().is_err());
        assert!(body.frame().await.is_none());
    }
}
