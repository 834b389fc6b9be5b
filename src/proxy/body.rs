//! The body of an answer on its way to the client: the engine's, or one made here.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;

use super::limits::RequestPermit;
use super::state::{CutOff, InFlightGuard};
use crate::filter::body::{BodyError, FilteredBody};
use crate::filter::response::Source;
use crate::telemetry::access_log::{AccessLogEntry, Ended};
use crate::upstream::body::UpstreamBody;

/// What goes on for as long as a request is not answered to its end.
pub struct Pending {
    /// What will be told of it.
    pub entry: Box<AccessLogEntry>,
    /// That its connection is giving an answer.
    pub in_flight: InFlightGuard,
    /// Its place among the answers in flight, if it takes one.
    pub permit: Option<RequestPermit>,
}

/// A body, and what ends with it.
pub struct ResponseBody {
    content: Content,
    pending: Pending,
}

enum Content {
    Synthetic(Full<Bytes>),
    Upstream(Box<UpstreamBody>),
    Filtered(Box<FilteredBody<Source>>),
    /// The engine broke off, or what it sent cannot be filtered. hyper drops what it has not yet sent when a
    /// body fails, so the failure is passed on one poll later than it came.
    Failed(Option<BodyError>),
}

impl ResponseBody {
    /// A body that was made here, for a request that has ended as its entry says.
    pub fn synthetic(body: Full<Bytes>, mut pending: Pending) -> Self {
        // It costs the engine nothing.
        pending.permit = None;
        Self { content: Content::Synthetic(body), pending }
    }

    /// The engine's body.
    pub fn upstream(body: UpstreamBody, pending: Pending) -> Self {
        let mut body = Self { content: Content::Upstream(Box::new(body)), pending };
        body.note_end();
        body
    }

    /// What is shown of the engine's body.
    pub fn filtered(body: Box<FilteredBody<Source>>, pending: Pending) -> Self {
        Self { content: Content::Filtered(body), pending }
    }

    /// hyper asks for nothing more once a body says that it has ended.
    fn note_end(&mut self) {
        let ended = match &self.content {
            Content::Upstream(body) => body.is_end_stream(),
            Content::Filtered(body) => body.is_end_stream(),
            // What was made here has ended as its entry says; what failed has as well.
            Content::Synthetic(_) | Content::Failed(_) => false,
        };
        if ended {
            self.pending.entry.ended = Ended::Complete;
        }
    }

    fn note_frame(&mut self, frame: &Frame<Bytes>) {
        self.pending.entry.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        self.note_end();
    }

    fn note_failure(&mut self, error: &BodyError) {
        self.pending.entry.ended = match error {
            BodyError::Upstream(_) => Ended::UpstreamAborted,
            BodyError::Filter(_) => {
                self.pending.entry.error = Some(error.to_string());
                Ended::FilterFailed
            }
        };
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        if let Some(reason) = self.pending.in_flight.cut_reason() {
            let (ended, error) = match reason {
                CutOff::TooSlow(why) => (Ended::ClientTooSlow, why.as_str()),
                CutOff::Revoked => (Ended::Revoked, "the configuration no longer lets this client have it"),
            };
            self.pending.entry.ended = ended;
            self.pending.entry.error = Some(error.to_owned());
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = match &mut self.content {
            Content::Synthetic(body) => {
                ready!(Pin::new(body).poll_frame(cx)).map(|frame| frame.map_err(|never| match never {}))
            }
            Content::Upstream(body) => {
                ready!(Pin::new(body.as_mut()).poll_frame(cx)).map(|frame| frame.map_err(BodyError::from))
            }
            Content::Filtered(body) => ready!(Pin::new(body.as_mut()).poll_frame(cx)),
            Content::Failed(error) => return Poll::Ready(error.take().map(Err)),
        };
        match &frame {
            Some(Ok(frame)) => self.note_frame(frame),
            None if matches!(self.content, Content::Synthetic(_)) => {}
            None => self.pending.entry.ended = Ended::Complete,
            Some(Err(error)) => {
                self.note_failure(error);
                self.content = Content::Failed(frame.and_then(Result::err));
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Synthetic(body) => body.is_end_stream(),
            Content::Upstream(body) => body.is_end_stream(),
            Content::Filtered(body) => body.is_end_stream(),
            Content::Failed(error) => error.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Synthetic(body) => body.size_hint(),
            Content::Upstream(body) => body.size_hint(),
            Content::Filtered(_) | Content::Failed(_) => SizeHint::default(),
        }
    }
}
