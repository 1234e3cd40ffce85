//! Listening sockets of both families.
//!
//! Invariant: whose a connection is, the kernel says, and not the client.

use super::Error;
use crate::api::share::Client;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};

/// How long taking connections rests when the kernel has none to give: descriptors may be free again then.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// A listening socket, of whatever family.
pub(super) trait Listener: Send + 'static {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next connection, and whose it is.
    fn next(&self) -> impl Future<Output = io::Result<(Self::Stream, Client)>> + Send;

    /// Takes a connection away from the daemon's runtime; it stays non-blocking.
    ///
    /// # Errors
    /// The kernel's.
    fn detach(stream: Self::Stream) -> io::Result<UnixStream>;
}

impl Listener for UnixListener {
    type Stream = tokio::net::UnixStream;

    async fn next(&self) -> io::Result<(Self::Stream, Client)> {
        let (stream, _) = self.accept().await?;
        let peer = stream.peer_cred()?;
        let client = match (peer.uid(), peer.pid()) {
            (0, Some(pid)) => Client::Process(pid),
            (uid, _) => Client::User(uid),
        };
        Ok((stream, client))
    }

    fn detach(stream: Self::Stream) -> io::Result<UnixStream> {
        stream.into_std()
    }
}

impl Listener for TcpListener {
    type Stream = tokio::net::TcpStream;

    async fn next(&self) -> io::Result<(Self::Stream, Client)> {
        let (stream, address) = self.accept().await?;
        // It fails when the client has gone, which reading finds out as well.
        let _set = stream.set_nodelay(true);
        Ok((stream, Client::Address(address.ip())))
    }

    /// The calls on a connected stream are the same for both families.
    fn detach(stream: Self::Stream) -> io::Result<UnixStream> {
        Ok(OwnedFd::from(stream.into_std()?).into())
    }
}

/// Listens on a loopback address.
pub(super) async fn bind_tcp(address: SocketAddr) -> Result<TcpListener, Error> {
    let listener = TcpListener::bind(address).await;
    listener.map_err(|source| Error::Tcp { address, source })
}

/// The next connection; what the kernel cannot give now is asked for again.
pub(super) async fn take<L: Listener>(listener: &L) -> (L::Stream, Client) {
    loop {
        match listener.next().await {
            Ok(taken) => return taken,
            Err(error) => {
                tracing::warn!(%error, "take a connection");
                tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
            }
        }
    }
}
