//! The body of an answer on its way to the client: relayed from the engine or made here.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use http::{Method, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;

use super::activity::Busy;
use super::answer::AnswerBody;
use super::client::Client;

/// A body, and what ends with it.
pub struct ReplyBody {
    content: Content,
    _busy: Busy,
}

enum Content {
    Made(Full<Bytes>),
    Relayed {
        answer: Box<AnswerBody>,
        account: Option<Account>,
    },
    /// The engine broke off. hyper drops what it has not yet sent when a body fails, so the failure is
    /// told one turn later than it came.
    Broken(Option<hyper::Error>),
}

/// What the log says of a relayed answer once it is over.
pub struct Account {
    /// Who asked.
    pub client: Client,
    /// For what, without the query.
    pub path: String,
    /// The engine's status.
    pub status: StatusCode,
    /// When the request came.
    pub began: Instant,
    /// How much of the body went on.
    pub bytes: u64,
}

impl ReplyBody {
    /// A body that was made here.
    pub fn made(body: Full<Bytes>, busy: Busy) -> Self {
        Self { content: Content::Made(body), _busy: busy }
    }

    /// The engine's body, accounted for if anyone reads that.
    pub fn relayed(answer: AnswerBody, account: Option<Account>, busy: Busy) -> Self {
        Self { content: Content::Relayed { answer: Box::new(answer), account }, _busy: busy }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let frame = match &mut self.content {
            Content::Made(body) => return Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
            Content::Broken(error) => return Poll::Ready(error.take().map(Err)),
            Content::Relayed { answer, account } => {
                let frame = ready!(Pin::new(answer.as_mut()).poll_frame(cx));
                if let (Some(account), Some(Ok(frame))) = (account, &frame) {
                    account.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
                }
                frame
            }
        };
        match frame {
            Some(Err(error)) => {
                self.content = Content::Broken(Some(error));
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            frame => Poll::Ready(frame),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Made(body) => body.is_end_stream(),
            Content::Relayed { answer, .. } => answer.is_end_stream(),
            Content::Broken(error) => error.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Made(body) => body.size_hint(),
            Content::Relayed { answer, .. } => answer.size_hint(),
            Content::Broken(_) => SizeHint::default(),
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        tracing::debug!(
            status = self.status.as_u16(),
            method = %Method::GET,
            path = self.path,
            bytes = self.bytes,
            ms = self.began.elapsed().as_millis() as u64,
            client = %self.client.peer,
            listener = %self.client.listener,
            "allowed"
        );
    }
}
