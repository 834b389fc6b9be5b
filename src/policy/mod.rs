//! Policy: what becomes of a request, as data and pure functions.
//!
//! [`catalog`] is the table of all that can ever be allowed, [`acl`] the part of it that is, [`view`] what of
//! its answers is shown, and [`verdict`] the one type of the answer. Nothing here does I/O, and nothing here
//! knows another room.

pub mod acl;
pub mod catalog;
pub mod clients;
pub mod consumers;
pub mod endpoint;
mod escape;
pub mod learning;
pub mod load;
pub mod names;
pub mod object;
pub mod path;
pub mod ps_args;
pub mod query;
pub mod redaction;
mod router;
pub mod verdict;
pub mod version;
pub mod view;
pub mod visibility;

use std::sync::Arc;

pub use acl::Acl;
pub use catalog::Catalog;
pub use clients::ListenerPolicy;
pub use consumers::{Consumer, UnknownConsumer};
pub use endpoint::{Body, DeniedPath, Endpoint, ResponseKind};
pub use load::{Charge, Load};
pub use names::UnknownName;
pub use path::{CanonicalPath, PathError};
pub use query::{Query, QueryError};
pub use verdict::{Allowed, Denied, Reason, Verdict};
pub use version::ApiVersion;
pub use view::View;

/// What a client is let through to, and what it is shown of the answers.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The endpoints that can be asked.
    pub acl: Acl,
    /// What of their answers is shown.
    pub view: View,
    /// Where that is written.
    pub origin: Origin,
}

impl Policy {
    /// The policy that lets through to nothing.
    pub fn nothing(origin: Origin) -> Self {
        Self { acl: Acl::empty(&catalog::ENGINE), view: View::default(), origin }
    }
}

/// Where a policy is written, so that a hint can say what to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// In flags or environment variables.
    Flags,
    /// In a file, whose place this is, such as `/etc/docker-proxy-acl.toml:12`.
    File(Arc<str>),
    /// Nowhere: it is to be found out what is needed.
    Learning,
}
