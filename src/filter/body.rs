//! The engine's body on its way through the pass.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame};
use thiserror::Error;

use super::redact::{FilterError, Redactor};
use super::stats::Stats;

/// How much of an answer is filtered before other connections have their turn, in bytes. A piece takes less than a
/// tenth of a millisecond. So much of it can wait for a client besides.
const PIECE: usize = 32 * 1024;

/// The same at the beginning, so that most answers are filtered in one turn and sent with one call.
const FIRST_PIECE: usize = 64 * 1024;

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
    /// One after the other; there is at least one if anything is still to come.
    passes: Vec<Redactor>,
    /// What came and is not filtered yet.
    pending: Bytes,
    /// Whether a piece has been filtered.
    has_begun: bool,
    /// What was filtered before the head was sent.
    first: VecDeque<Bytes>,
    /// Whether others have their turn before the next piece. An end does not wait for that.
    yields: bool,
    ended: bool,
    stats: Arc<Stats>,
}

impl<B: Body<Data = Bytes, Error: Into<BodyError>> + Unpin> FilteredBody<B> {
    /// Takes `body` through all `passes`, one after the other, and counts what that comes to.
    pub fn new(body: B, passes: Vec<Redactor>, stats: Arc<Stats>) -> Self {
        Self {
            body,
            passes,
            pending: Bytes::new(),
            has_begun: false,
            first: VecDeque::new(),
            yields: false,
            ended: false,
            stats,
        }
    }

    /// What is left of a body that was read to its end and judged whole.
    pub fn judged(body: B, shown: Bytes, stats: Arc<Stats>) -> Self {
        Self { first: VecDeque::from([shown]), ended: true, ..Self::new(body, Vec::new(), stats) }
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
            if self.pending.is_empty() {
                match Pin::new(&mut self.body).poll_frame(cx) {
                    Poll::Ready(Some(Ok(frame))) => self.pending = frame.into_data().unwrap_or_default(),
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(self.end_with(error)))),
                    Poll::Ready(None) => return Poll::Ready(self.finish().err().map(Err)),
                    Poll::Pending => {
                        self.yields = false;
                        return Poll::Pending;
                    }
                }
                continue;
            }
            if std::mem::replace(&mut self.yields, false) {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if let Some(piece) = self.filter_piece().transpose() {
                return Poll::Ready(Some(piece));
            }
        }
    }

    /// Filters one piece; nothing of it may go on yet.
    fn filter_piece(&mut self) -> Result<Option<Bytes>, BodyError> {
        let most = if std::mem::replace(&mut self.has_begun, true) { PIECE } else { FIRST_PIECE };
        let piece = self.pending.split_to(self.pending.len().min(most));
        self.yields = true;
        self.stats.note_bytes(piece.len());
        let pushed = self.push(piece);
        self.passes.iter_mut().for_each(|pass| self.stats.note_left_out(pass.take_left_out()));
        let left = pushed.map_err(|error| self.end_with(error))?;
        Ok((!left.is_empty()).then_some(left))
    }

    /// Takes a piece through all passes and gives what is left of it.
    fn push(&mut self, piece: Bytes) -> Result<Bytes, FilterError> {
        self.passes.iter_mut().try_fold(piece, |piece, pass| {
            // Mostly less comes out than went in.
            let mut out = Vec::with_capacity(piece.len());
            pass.push(&piece, &mut out)?;
            // It may wait for a client; not with much room that it does not need.
            let is_full = out.len() > out.capacity() / 2;
            Ok(if is_full { Bytes::from(out) } else { Bytes::copy_from_slice(&out) })
        })
    }

    fn finish(&mut self) -> Result<(), BodyError> {
        self.ended = true;
        let finished = self.passes.iter_mut().try_for_each(Redactor::finish);
        finished.map_err(|error| self.end_with(error))
    }

    fn end_with(&mut self, error: impl Into<BodyError>) -> BodyError {
        self.ended = true;
        self.pending = Bytes::new();
        let error = error.into();
        if let BodyError::Filter(_) = error {
            self.stats.note_failure();
        }
        error
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
    use http_body_util::{BodyExt, Full};

    use super::super::json::Framing;
    use super::super::redact::Plan;
    use super::*;
    use crate::policy::redaction::{Classes, Redaction};
    use crate::policy::visibility::{Lists, Visibility};

    fn filtered(text: String) -> FilteredBody<impl Body<Data = Bytes, Error = BodyError> + Unpin> {
        let plan = Plan::new(Redaction::new(Classes::ALL, vec![], vec![]), Visibility::default());
        let redactor = Redactor::new(Arc::new(plan), Framing::Document, Lists::None);
        FilteredBody::new(
            Full::new(Bytes::from(text)).map_err(|never| match never {}),
            vec![redactor],
            Arc::default(),
        )
    }

    #[test]
    fn others_have_their_turn_between_two_pieces_whether_or_not_something_goes_on() {
        for text in [
            format!("[{}]", vec!["\"stays\""; 40_000].join(",")),
            format!("{{\"Labels\":{{\"a\":\"{}\"}}}}", "goes".repeat(80_000)),
        ] {
            let pieces = 1 + (text.len() - FIRST_PIECE).div_ceil(PIECE);
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
            assert_eq!(turns, pieces - 1);
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
    async fn of_a_body_that_was_judged_whole_that_alone_comes() {
        let judged =
            FilteredBody::judged(filtered("read before".to_owned()), Bytes::from("shown"), Arc::default());
        assert_eq!(judged.collect().await.unwrap().to_bytes(), "shown");
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
