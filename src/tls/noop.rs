//! What stands for TLS in a build without it: loading always fails, and of the rest there is no value.

use std::path::Path;
use std::sync::Arc;

use thiserror::Error;

use super::HasRoom;
use super::files::{ClientFiles, ServerFiles};
use super::trigger::Reload;
use crate::net::{Socket, TlsIdentity};

/// There is none.
#[derive(Debug, Clone)]
pub enum TlsAcceptor {}

/// There is none.
#[derive(Debug)]
pub enum TlsConnector {}

/// There is none.
#[derive(Debug, Error)]
pub enum ConnectError {}

/// There is none.
#[derive(Debug, Error)]
pub enum HandshakeError {}

/// There is none.
#[derive(Debug)]
pub struct FailedHandshake {
    /// Why.
    pub error: HandshakeError,
    /// The connection.
    pub socket: Socket,
}

/// TLS was asked for and is not there.
#[derive(Debug, Error)]
#[error("this docker-proxy-acl was built without TLS; build it with the feature 'tls'")]
pub struct CertError;

impl CertError {
    /// No file is to blame.
    pub fn path(&self) -> Option<&Path> {
        None
    }
}

impl TlsAcceptor {
    /// Fails.
    ///
    /// # Errors
    /// Always.
    pub fn load(_: &ServerFiles) -> Result<Self, CertError> {
        Err(CertError)
    }

    /// Is not called.
    pub fn reloadable(&self) -> Arc<dyn Reload> {
        match *self {}
    }

    /// Is not called.
    ///
    /// # Errors
    /// None.
    pub async fn accept(
        &self,
        _: Socket,
        _: HasRoom,
    ) -> Result<(Socket, Option<TlsIdentity>), FailedHandshake> {
        match *self {}
    }
}

impl TlsConnector {
    /// Fails.
    ///
    /// # Errors
    /// Always.
    pub fn load(_: &ClientFiles, _: &str) -> Result<Self, CertError> {
        Err(CertError)
    }

    /// Is not called.
    pub fn reloadable(&self) -> Arc<dyn Reload> {
        match *self {}
    }

    /// Is not called.
    ///
    /// # Errors
    /// None.
    pub async fn connect<S>(&self, _: S) -> Result<S, ConnectError> {
        match *self {}
    }
}

impl ConnectError {
    /// Nothing.
    pub fn from_source(_: &hyper::Error) -> Option<Self> {
        None
    }

    /// Is not called.
    pub fn hint(&self) -> Option<&'static str> {
        match *self {}
    }
}

impl HandshakeError {
    /// Is not called.
    pub fn hint(&self) -> Option<&'static str> {
        match *self {}
    }

    /// Is not called.
    pub fn kind(&self) -> &'static str {
        match *self {}
    }

    /// Is not called.
    pub fn is_no_room(&self) -> bool {
        match *self {}
    }

    /// Is not called.
    pub fn is_peer_closed(&self) -> bool {
        match *self {}
    }
}
