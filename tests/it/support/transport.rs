//! How a client reaches the proxy, as the parameter of a test.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::http;
use super::proxy::{Builder, Proxy};
#[cfg(feature = "tls")]
use super::tls::{Pki, tls_proxy};

/// What a client connects over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Unix,
    Tcp,
    #[cfg(feature = "tls")]
    Tls,
}

/// Makes a test of a function for each transport that it names, in a module with the function's name.
macro_rules! for_each_transport {
    ([$($name:ident),*] fn $test:ident($transport:ident: Transport) $body:block) => {
        mod $test {
            #[allow(unused_imports)] // some tests need nothing of what is around them
            use super::*;

            fn on($transport: Transport) $body

            $(for_each_transport!(@test $name);)*
        }
    };
    (@test unix) => {
        #[test]
        fn unix() {
            on(Transport::Unix);
        }
    };
    (@test tcp) => {
        #[test]
        fn tcp() {
            on(Transport::Tcp);
        }
    };
    (@test tls) => {
        #[cfg(feature = "tls")]
        #[test]
        fn tls() {
            on(Transport::Tls);
        }
    };
}
pub(crate) use for_each_transport;

/// A proxy with a listener of one transport, and what its clients need to connect.
pub struct Server {
    pub proxy: Proxy,
    transport: Transport,
    #[cfg(feature = "tls")]
    pki: Option<Pki>,
}

impl Transport {
    /// Starts a proxy that listens on this transport, before `upstream`, and allows these names.
    pub fn serve(self, upstream: &Path, names: &str) -> Server {
        self.serve_with(upstream, names, &[])
    }

    /// The same with further flags.
    pub fn serve_with(self, upstream: &Path, names: &str, flags: &[&str]) -> Server {
        match self {
            Self::Unix => Server::new(self, Proxy::builder(upstream).allow(names).args(flags)),
            Self::Tcp => Server::new(self, tcp_proxy(upstream).allow(names).args(flags)),
            #[cfg(feature = "tls")]
            Self::Tls => {
                let pki = Pki::new();
                let server = Server::new(self, tls_proxy(&pki, upstream).allow(names).args(flags));
                Server { pki: Some(pki), ..server }
            }
        }
    }
}

/// A proxy that also listens on loopback without TLS.
pub fn tcp_proxy(upstream: &Path) -> Builder {
    Proxy::builder(upstream).args(["--listen", "tcp://127.0.0.1:0"])
}

impl Server {
    fn new(transport: Transport, builder: Builder) -> Self {
        Self {
            proxy: builder.start(),
            transport,
            #[cfg(feature = "tls")]
            pki: None,
        }
    }

    /// The address of its listener, as the value of `--listen`.
    pub fn address(&self) -> String {
        match self.transport {
            Transport::Unix => self.proxy.url(),
            _ => format!("tcp://localhost:{}", self.proxy.tcp_port()),
        }
    }

    /// A client's connection.
    pub fn connect(&self) -> Client {
        match self.transport {
            Transport::Unix => Client::Unix(http::connect(self.proxy.socket())),
            Transport::Tcp => Client::Tcp(http::connect_tcp(self.proxy.tcp_port())),
            #[cfg(feature = "tls")]
            Transport::Tls => {
                let config = self.pki.as_ref().expect("it was made with one").alice().client_config();
                let name = "localhost".try_into().unwrap();
                let session = rustls::ClientConnection::new(config, name).unwrap();
                let stream = http::connect_tcp(self.proxy.tcp_port());
                Client::Tls(Box::new(rustls::StreamOwned::new(session, stream)))
            }
        }
    }

    /// A client's connection, over which a `GET` was sent.
    pub fn get(&self, target: &str) -> Client {
        let mut client = self.connect();
        client.write_all(http::get_head(target).as_bytes()).unwrap();
        client
    }
}

/// A client's connection over one of the transports; it is just dropped, without a goodbye of TLS.
pub enum Client {
    Unix(UnixStream),
    Tcp(TcpStream),
    #[cfg(feature = "tls")]
    Tls(Box<rustls::StreamOwned<rustls::ClientConnection, TcpStream>>),
}

impl Client {
    /// Stops sending, as `nc -N` does.
    pub fn half_close(&self) {
        match self {
            Self::Unix(stream) => stream.shutdown(Shutdown::Write).unwrap(),
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write).unwrap(),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.sock.shutdown(Shutdown::Write).unwrap(),
        }
    }
}

impl Read for Client {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.read(buffer),
            Self::Tcp(stream) => stream.read(buffer),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Client {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Unix(stream) => stream.write(bytes),
            Self::Tcp(stream) => stream.write(bytes),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Unix(stream) => stream.flush(),
            Self::Tcp(stream) => stream.flush(),
            #[cfg(feature = "tls")]
            Self::Tls(stream) => stream.flush(),
        }
    }
}
