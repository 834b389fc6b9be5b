//! One connection to the engine, and the request and answer that go over it.
//!
//! The connection is driven by whoever waits for its answer, in the same task: an answer that is
//! dropped takes its connection with it at once, and an idle connection costs nothing.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::coop::unconstrained;

use super::stale::StaleCheck;

/// Anything that bytes go through to the engine and back.
pub trait IoStream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> IoStream for T {}

/// The engine never gets a body: there is no type here that could carry one.
pub type NoBody = Empty<Bytes>;

/// The longest head of an answer, and the most of its body that waits here for a client that reads
/// slowly, in bytes.
const MAX_BUFFERED: usize = 64 * 1024;

/// An open connection to the engine.
pub struct Connection {
    sender: SendRequest<NoBody>,
    driver: Driver,
    stale_check: StaleCheck,
}

/// hyper's part in a connection.
type Hyper = http1::Connection<TokioIo<Box<dyn IoStream>>, NoBody>;

/// What moves a connection's bytes, both ways, while it is polled; empty once the connection has ended.
/// Boxed, because it is large and moves from the pool to an answer and back.
struct Driver(Option<Box<Hyper>>);

/// An open connection without hyper's part, which takes a small part of the memory.
pub struct ParkedConnection {
    stream: Box<dyn IoStream>,
    stale_check: StaleCheck,
}

/// An answer whose head is there, with the connection that its body comes over.
pub struct PendingResponse {
    /// The answer; its body arrives only as long as the connection is driven.
    pub response: Response<Incoming>,
    /// The connection.
    pub connection: Connection,
}

impl Connection {
    /// Speaks HTTP/1.1 over a stream, which `stale_check` belongs to.
    ///
    /// # Errors
    /// If hyper cannot.
    pub async fn handshake(stream: Box<dyn IoStream>, stale_check: StaleCheck) -> hyper::Result<Self> {
        let (sender, driver) = http1::Builder::new()
            // A request is one piece, for which send(2) takes less time than writev(2).
            .writev(false)
            .max_buf_size(MAX_BUFFERED)
            .handshake(TokioIo::new(stream))
            .await?;
        Ok(Self { sender, driver: Driver(Some(Box::new(driver))), stale_check })
    }

    /// Sends a request over a connection that was kept, unless anything has come on it meanwhile: its end,
    /// or an answer that nobody asked for.
    ///
    /// # Errors
    /// Those of [`Connection::send`], and if the request was not sent.
    pub async fn send_again(self, request: Request<NoBody>) -> hyper::Result<PendingResponse> {
        self.stale_check.arm();
        self.send(request).await
    }

    /// Sends a request and waits for the head of its answer.
    ///
    /// # Errors
    /// If the connection breaks before, or the engine answers what is not HTTP.
    pub async fn send(mut self, request: Request<NoBody>) -> hyper::Result<PendingResponse> {
        let mut sent = pin!(self.sender.send_request(request));
        let response = poll_fn(|cx| self.driver.poll_until(cx, |cx| sent.as_mut().poll(cx))).await?;
        Ok(PendingResponse { response, connection: self })
    }

    /// Gives back the buffers of a connection that is idle; nothing is left if it has ended, or anything has
    /// come that nobody asked for.
    pub fn park(self) -> Option<ParkedConnection> {
        let parts = self.driver.0?.into_parts();
        let (stream, stale_check) = (parts.io.into_inner(), self.stale_check);
        parts.read_buf.is_empty().then_some(ParkedConnection { stream, stale_check })
    }

    /// The next frame of the answer that is being given.
    pub fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
        body: &mut Incoming,
    ) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        self.driver.poll_until(cx, |cx| Pin::new(&mut *body).poll_frame(cx))
    }

    /// Whether the connection can carry another request, as far as it knows.
    pub fn is_reusable(&self) -> bool {
        self.sender.is_ready()
    }

    /// Whether the connection can carry another request, after looking at what has come meanwhile, such
    /// as its end.
    pub fn poll_reusable(&mut self) -> bool {
        self.driver.drive(&mut noop_context());
        self.is_reusable()
    }
}

impl ParkedConnection {
    /// Makes it one again that can carry a request.
    ///
    /// # Errors
    /// If hyper cannot.
    pub async fn resume(self) -> hyper::Result<Connection> {
        Connection::handshake(self.stream, self.stale_check).await
    }
}

impl Driver {
    /// Drives the connection until `poll` is ready, which only driving brings about.
    ///
    /// hyper is made for two tasks and wakes the one when the other has done something. Here both are one,
    /// which would run again for nothing. So it works with nobody to wake first, and only if that has not
    /// sufficed once more with the one who waits: nothing is pending without having left word with the
    /// stream just before. Once the connection has ended, `poll` finds that, as hyper's part is gone.
    fn poll_until<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        // Without tokio's budget: who has used that up is woken to look again, and here nobody is.
        let mut poll = || pin!(unconstrained(poll_fn(&mut poll))).poll(&mut noop_context());
        if let ready @ Poll::Ready(_) = poll() {
            return ready;
        }
        self.drive(&mut noop_context());
        if let ready @ Poll::Ready(_) = poll() {
            return ready;
        }
        self.drive(cx);
        poll()
    }

    /// Moves what can be moved now.
    fn drive(&mut self, cx: &mut Context<'_>) {
        // An error also reaches the answer or its body.
        if let Some(connection) = &mut self.0
            && Pin::new(connection).poll(cx).is_ready()
        {
            self.0 = None;
        }
    }
}

/// For work that wakes nobody.
fn noop_context() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

/// The broken stream or the broken answer behind hyper's error, for the log.
pub fn root_cause(error: &hyper::Error) -> String {
    let mut deepest: &dyn std::error::Error = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    match deepest.downcast_ref::<io::Error>() {
        Some(io) => io.to_string(),
        None => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;
    use tokio::task::{coop, yield_now};

    use super::super::stale::StaleCheckedStream;
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    /// Answers a request in pieces, between which the other task has its turn.
    async fn answer_in_pieces(mut stream: UnixStream) {
        let asked = stream.read(&mut [0; 1024]).await.unwrap();
        assert!(asked > 0);
        for piece in [
            "HTTP/1.1 200 OK\r\nTransfer-",
            "Encoding: chunked\r\n\r\n5\r\nfirst\r\n6\r\nsec",
            "ond\r\n0\r\n\r\n",
        ] {
            stream.write_all(piece.as_bytes()).await.unwrap();
            yield_now().await;
        }
    }

    async fn connection(stream: UnixStream) -> Connection {
        let (stream, stale_check) = StaleCheckedStream::new(stream);
        Connection::handshake(Box::new(stream), stale_check).await.unwrap()
    }

    async fn ask(stream: UnixStream) -> Bytes {
        let connection = connection(stream).await;
        let PendingResponse { response, mut connection } =
            connection.send(Request::new(NoBody::new())).await.unwrap();
        let mut body = response.into_body();
        let mut whole = Vec::new();
        while let Some(frame) = poll_fn(|cx| connection.poll_frame(cx, &mut body)).await {
            whole.extend(frame.unwrap().into_data().unwrap());
        }
        whole.into()
    }

    #[tokio::test]
    async fn an_answer_comes_whatever_its_task_has_left_of_tokio_s_budget() {
        const BUDGET: usize = 128;
        for first in 0..=BUDGET {
            let (ours, theirs) = UnixStream::pair().unwrap();
            tokio::spawn(answer_in_pieces(theirs));
            let mut asking = pin!(ask(ours));
            let mut spent = first;
            let answer = poll_fn(|cx| {
                for _ in 0..spent {
                    if let Poll::Ready(step) = coop::poll_proceed(cx) {
                        step.made_progress();
                    }
                }
                spent = (spent + 31) % (BUDGET + 1);
                asking.as_mut().poll(cx)
            });
            let answer = tokio::select! {
                biased; // the end of the wait would have the answer looked for again
                () = tokio::time::sleep(PATIENCE) => panic!("it hangs with {first} of {BUDGET} spent"),
                answer = answer => answer,
            };
            assert_eq!(answer, "firstsecond", "{first} of {BUDGET} spent");
        }
    }

    #[tokio::test]
    async fn what_the_engine_says_right_before_it_is_asked_is_not_an_answer() {
        for unasked in ["HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret", "HTTP/1.1 4", ""] {
            let (ours, theirs) = UnixStream::pair().unwrap();
            let mut engine = theirs.into_std().unwrap();
            let connection = connection(ours).await;
            io::Write::write_all(&mut engine, b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
            let first = connection.send(Request::new(NoBody::new())).await.unwrap();
            assert_eq!(first.response.status(), 204);
            // The runtime looks at no socket between this and the request.
            io::Write::write_all(&mut engine, unasked.as_bytes()).unwrap();
            if unasked.is_empty() {
                engine.shutdown(std::net::Shutdown::Write).unwrap();
            }
            let second = first.connection.send_again(Request::new(NoBody::new())).await;
            assert!(second.is_err(), "{unasked:?}");
        }
    }

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[tokio::test]
    async fn a_task_is_woken_for_what_comes_and_not_for_what_it_does_itself() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut cx = Context::from_waker(&waker);
        let mut asking = pin!(ask(ours));
        assert!(asking.as_mut().poll(&mut cx).is_pending());
        assert_eq!(woken.0.load(Ordering::Relaxed), 0);
        theirs.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").await.unwrap();
        let word = async {
            while woken.0.load(Ordering::Relaxed) == 0 {
                yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, word).await.expect("nobody is woken");
        assert_eq!(asking.poll(&mut cx), Poll::Ready("hi".into()));
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    }
}
