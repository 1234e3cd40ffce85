//! Where the daemon is, and what it wants to be shown.
//!
//! Invariant: a secret goes to the address that it is meant for and to no other place.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::Token;

/// Where the daemon is.
#[derive(Clone, Debug)]
pub enum Place {
    /// A unix socket, whose mode says who may use it.
    Socket(PathBuf),
    /// An address of TCP, and the secret of the daemon there, if it wants one.
    Tcp(SocketAddr, Option<Token>),
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => path.display().fmt(formatter),
            Self::Tcp(address, _) => address.fmt(formatter),
        }
    }
}

/// A connection of either kind.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Place {
    /// Connects.
    ///
    /// # Errors
    /// The kernel's.
    pub(super) async fn connect(&self) -> io::Result<TokioIo<Box<dyn Stream>>> {
        let stream: Box<dyn Stream> = match self {
            Self::Socket(path) => Box::new(UnixStream::connect(path).await?),
            Self::Tcp(address, _) => Box::new(TcpStream::connect(address).await?),
        };
        Ok(TokioIo::new(stream))
    }

    /// The name that a request gives its host.
    pub(super) fn host(&self) -> String {
        match self {
            Self::Socket(_) => "mica".to_owned(),
            Self::Tcp(address, _) => address.to_string(),
        }
    }

    /// What `Authorization` says, if anything.
    pub(super) fn authorization(&self) -> Option<String> {
        match self {
            Self::Tcp(_, Some(token)) => Some(token.bearer()),
            Self::Socket(_) | Self::Tcp(_, None) => None,
        }
    }
}
