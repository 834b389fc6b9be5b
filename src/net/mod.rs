//! Addresses and sockets: where the proxy listens, whom it talks to, and who is at the other end.

pub mod address;
mod directory;
pub mod excerpt;
mod groups;
pub mod inherited;
pub mod listener;
mod passing;
pub mod peer;
pub mod socket;
pub mod tcp;
pub mod unix;

pub use address::{Address, AddressError, ListenAddress};
pub use excerpt::Excerpt;
pub use inherited::{InheritError, InheritedListener, InheritedName, InheritedSocket, InheritedSockets};
pub use listener::{BindError, BoundListener, ListenAddr, Listener, PlainTcp, ResolvedListenAddr};
pub use passing::{Closer, DescriptorPassing};
pub use peer::{ClientKey, Peer, TlsIdentity};
pub use socket::{DisconnectWatcher, Socket, WriteProgress, WriteSize};
