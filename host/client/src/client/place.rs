//! Where the daemon is, and what it wants to be shown.
//!
//! Invariant: a secret goes to the address that it is meant for and to no other place.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use hyper::body::{Body, Incoming};
use hyper::header::{AUTHORIZATION, HOST, HeaderValue};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use crate::{Failure, Token};

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
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Place {
    /// Connects.
    ///
    /// # Errors
    /// The kernel's.
    async fn connect(&self) -> io::Result<TokioIo<Box<dyn Stream>>> {
        let stream: Box<dyn Stream> = match self {
            Self::Socket(path) => Box::new(UnixStream::connect(path).await?),
            Self::Tcp(address, _) => Box::new(TcpStream::connect(address).await?),
        };
        Ok(TokioIo::new(stream))
    }

    /// Sends a request on a connection of its own, with the host and the secret that the daemon wants. The connection ends with the
    /// answer's body, or when nobody waits for it any more.
    ///
    /// # Errors
    /// [`Failure::Unreachable`] if nobody is there, [`Failure::Connection`] if the daemon does not answer.
    pub async fn send<B>(&self, mut request: Request<B>) -> Result<Response<Incoming>, Failure>
    where
        B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
    {
        let stream = self.connect().await;
        let stream = stream.map_err(|source| Failure::Unreachable {
            place: self.to_string(),
            source,
        })?;
        let broken = |doing: &str| {
            let doing = format!("{doing} at `{self}`");
            |source: Box<dyn Error + Send + Sync>| Failure::Connection { doing, source }
        };
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream)
            .await
            .map_err(|error| broken("greet the daemon")(error.into()))?;
        tokio::spawn(connection);
        for (name, value) in [
            (HOST, Some(self.host())),
            (AUTHORIZATION, self.authorization()),
        ] {
            let value = value.map(HeaderValue::try_from).transpose();
            match value.map_err(|error| broken("ask the daemon")(error.into()))? {
                Some(value) => request.headers_mut().insert(name, value),
                None => request.headers_mut().remove(name),
            };
        }
        let answer = sender.send_request(request).await;
        answer.map_err(|error| broken("ask the daemon")(error.into()))
    }

    /// The name that a request gives its host.
    fn host(&self) -> String {
        match self {
            Self::Socket(_) => "mica".to_owned(),
            Self::Tcp(address, _) => address.to_string(),
        }
    }

    /// What `Authorization` says, if anything.
    fn authorization(&self) -> Option<String> {
        match self {
            Self::Tcp(_, Some(token)) => Some(token.bearer()),
            Self::Socket(_) | Self::Tcp(_, None) => None,
        }
    }
}
