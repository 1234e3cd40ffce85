//! HTTP to a registry, with TLS or without.
//!
//! Invariant: what is not encrypted goes to this machine alone, unless more was allowed; no answer is waited for without end, and none
//! is read further than its caller allows.

use crate::error::Error;
use crate::reference::{host_of, is_local};
use crate::registry::Plain;
use crate::watch::{Passing, Watch, Watched};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::header::{HOST, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a registry may be silent.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// How this client calls itself.
const AGENT: &str = concat!("mica/", env!("CARGO_PKG_VERSION"));

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A request. It has no debug output, because its headers may have a password.
pub(crate) struct Outgoing {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: Vec<(HeaderName, String)>,
    pub(crate) body: Bytes,
    pub(crate) watch: Watch,
}

/// Connections, each for one request.
#[derive(Debug)]
pub(crate) struct Transport {
    plain: Plain,
    tls: Option<Arc<ClientConfig>>,
}

impl Transport {
    pub(crate) fn new(plain: Plain) -> Self {
        Self { plain, tls: None }
    }

    /// `http` or `https`: how a host is asked.
    pub(crate) fn scheme(&self, registry: &str) -> &'static str {
        match self.may_be_plain(host_of(registry)) {
            true => "http",
            false => "https",
        }
    }

    /// Whether a host may be asked without TLS: the registry, and where it sends a client.
    fn may_be_plain(&self, host: &str) -> bool {
        match self.plain {
            Plain::Everywhere => true,
            Plain::Here => is_local(host),
            Plain::Nowhere => false,
        }
    }

    /// Sends a request and gets the head of its answer.
    ///
    /// # Errors
    /// [`Error::Plain`], [`Error::Unreachable`], [`Error::Broken`].
    pub(crate) async fn send(&mut self, outgoing: Outgoing) -> Result<Response<Incoming>, Error> {
        let Outgoing {
            method,
            uri,
            headers,
            body,
            watch,
        } = outgoing;
        let authority = uri
            .authority()
            .map(|authority| authority.as_str().to_owned());
        let authority = authority.unwrap_or_default();
        let doing = format!("{method} {} at the registry `{authority}`", uri.path());
        let stream = self.connect(&uri, &authority).await?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request
            .header(HOST, authority)
            .header(USER_AGENT, HeaderValue::from_static(AGENT))
            .body(Watched::new(body, watch))
            .map_err(|error| broken(&doing, error))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| broken(&doing, error))?;
        tokio::spawn(connection);
        let answer = timeout(IDLE_TIMEOUT.saturating_mul(5), sender.send_request(request)).await;
        answer
            .map_err(|_late| broken(&doing, silent()))?
            .map_err(|error| broken(&doing, error))
    }

    async fn connect(&mut self, uri: &Uri, authority: &str) -> Result<Box<dyn Stream>, Error> {
        let host = uri.host().unwrap_or_default().to_owned();
        let unreachable = |source| Error::Unreachable {
            registry: authority.to_owned(),
            source,
        };
        let is_plain = uri.scheme_str() == Some("http");
        if is_plain && !self.may_be_plain(&host) {
            return Err(Error::Plain(authority.to_owned()));
        }
        let bare = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        let port = uri.port_u16().unwrap_or(if is_plain { 80 } else { 443 });
        let late = || io::Error::new(io::ErrorKind::TimedOut, "it does not answer");
        let connected = timeout(CONNECT_TIMEOUT, TcpStream::connect((bare.as_str(), port))).await;
        let stream = connected
            .unwrap_or_else(|_late| Err(late()))
            .map_err(unreachable)?;
        if is_plain {
            return Ok(Box::new(stream));
        }
        let name =
            ServerName::try_from(bare).map_err(|error| unreachable(io::Error::other(error)))?;
        let connector = TlsConnector::from(self.tls().map_err(unreachable)?);
        let greeted = timeout(CONNECT_TIMEOUT, connector.connect(name, stream)).await;
        let stream = greeted
            .unwrap_or_else(|_late| Err(late()))
            .map_err(unreachable)?;
        Ok(Box::new(stream))
    }

    /// Who is believed to be whom: whomever this machine believes.
    fn tls(&mut self) -> io::Result<Arc<ClientConfig>> {
        if let Some(tls) = &self.tls {
            return Ok(Arc::clone(tls));
        }
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        let (count, _left_out) = roots.add_parsable_certificates(found.certs);
        if count == 0 {
            let text = "this machine has no certificates of authorities (Debian's package ca-certificates), so no registry can be believed";
            return Err(io::Error::other(text));
        }
        let tls = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let tls = Arc::new(tls);
        self.tls = Some(Arc::clone(&tls));
        Ok(tls)
    }
}

/// Reads an answer of at most `most` bytes, and tells how far it is.
///
/// # Errors
/// [`Error::TooLarge`], [`Error::Broken`].
pub(crate) async fn whole(
    answer: Response<Incoming>,
    what: &str,
    most: usize,
    watch: &Watch,
) -> Result<Bytes, Error> {
    let too_large = |has: u64| Error::TooLarge {
        what: what.to_owned(),
        has,
        most: most as u64,
    };
    let doing = format!("read {what}");
    let mut body = Limited::new(answer.into_body(), most);
    let mut bytes = Vec::new();
    loop {
        let frame = timeout(IDLE_TIMEOUT, body.frame()).await;
        match frame.map_err(|_late| broken(&doing, silent()))? {
            None => return Ok(bytes.into()),
            Some(Ok(frame)) => {
                let data = frame.data_ref().map_or(&[][..], |data| data);
                watch.tell(Passing::Passed(data.len() as u64));
                bytes.extend_from_slice(data);
            }
            Some(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
                return Err(too_large(most as u64 + 1));
            }
            Some(Err(source)) => {
                return Err(Error::Broken { doing, source });
            }
        }
    }
}

fn silent() -> io::Error {
    let seconds = IDLE_TIMEOUT.as_secs();
    io::Error::new(
        io::ErrorKind::TimedOut,
        format!("nothing came for {seconds} s"),
    )
}

fn broken(doing: &str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Broken {
        doing: doing.to_owned(),
        source: source.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_goes_without_encryption_to_where_it_was_not_allowed() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        for (plain, address) in [
            (Plain::Here, "http://registry.example/"),
            (Plain::Here, "http://127.0.0.1:80@registry.example/"),
            (Plain::Nowhere, "http://localhost:1/"),
            (Plain::Nowhere, "http://127.0.0.1:1/"),
        ] {
            let outgoing = Outgoing {
                method: Method::GET,
                uri: address.parse().unwrap(),
                headers: Vec::new(),
                body: Bytes::new(),
                watch: Watch::default(),
            };
            let refused = runtime.block_on(Transport::new(plain).send(outgoing));
            assert!(matches!(refused, Err(Error::Plain(_))), "{address}");
        }
    }
}
