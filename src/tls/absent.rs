//! What stands for TLS in a build without it: loading always fails, and of the rest there is no value.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;

use super::files::{ClientFiles, ServerFiles};
use crate::listener::peer::Identity;
use crate::listener::socket::Socket;

/// There is none.
#[derive(Debug, Clone)]
pub enum Acceptor {}

/// There is none.
#[derive(Debug)]
pub enum Connector {}

/// There is none.
#[derive(Debug)]
pub enum Failure {}

/// There is none.
#[derive(Debug)]
pub enum Refusal {}

/// There is none.
#[derive(Debug)]
pub struct Refused {
    /// Why.
    pub why: Refusal,
    /// Its connection.
    pub socket: Option<Socket>,
}

/// There is nothing to refresh.
pub trait Refresh: Send + Sync {}

/// TLS was asked for and is not there.
#[derive(Debug)]
pub struct MaterialError;

impl Acceptor {
    /// Fails.
    ///
    /// # Errors
    /// Always.
    pub fn load(_: &ServerFiles) -> Result<Self, MaterialError> {
        Err(MaterialError)
    }

    /// Is not called.
    pub fn material(&self) -> Arc<dyn Refresh> {
        match *self {}
    }

    /// Is not called.
    ///
    /// # Errors
    /// None.
    pub async fn accept(&self, _: Socket, _: Duration) -> Result<(Socket, Option<Identity>), Refused> {
        match *self {}
    }
}

impl Connector {
    /// Fails.
    ///
    /// # Errors
    /// Always.
    pub fn load(_: &ClientFiles, _: &str) -> Result<Self, MaterialError> {
        Err(MaterialError)
    }

    /// Is not called.
    pub fn material(&self) -> Arc<dyn Refresh> {
        match *self {}
    }

    /// Is not called.
    ///
    /// # Errors
    /// None.
    pub async fn connect(&self, _: TcpStream) -> Result<TcpStream, Failure> {
        match *self {}
    }
}

impl Failure {
    /// Nothing.
    pub fn behind(_: &hyper::Error) -> Option<Self> {
        None
    }

    /// Is not called.
    pub fn way_out(&self) -> Option<&'static str> {
        match *self {}
    }
}

impl Refusal {
    /// Is not called.
    pub fn is_plain_http(&self) -> bool {
        match *self {}
    }

    /// Is not called.
    pub fn is_worth_a_warning(&self) -> bool {
        match *self {}
    }

    /// Is not called.
    pub fn way_out(&self) -> Option<&'static str> {
        match *self {}
    }
}

/// Does nothing.
pub fn keep_fresh(_: Vec<Arc<dyn Refresh>>) {}

impl fmt::Display for Failure {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {}
    }
}

impl fmt::Display for MaterialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "this docker-proxy-acl was built without TLS; build it with the feature 'tls'")
    }
}

impl std::error::Error for MaterialError {}
