//! One name in one registry, asked as often as is needed.
//!
//! Invariant: a name and a password go only to the registry itself and to where it says that tokens are; where it sends a client for a
//! blob, neither they nor a token go along to another host.

use crate::challenge::Challenge;
use crate::credentials::Credentials;
use crate::error::Error;
use crate::reference::Reference;
use crate::transport::{Outgoing, Transport, whole};
use crate::watch::{Passing, Watch};
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, LOCATION, WWW_AUTHENTICATE};
use hyper::{Method, Response, StatusCode, Uri};
use mica_text::SafeText;
use serde::Deserialize;
use std::fmt;
use std::io;
use tokio::runtime::{Builder, Runtime};

/// How often one request may be sent somewhere else.
const MOST_REDIRECTS: usize = 5;
/// Bytes of an error's text, and of a token's document.
const MOST_SAID: usize = 64 << 10;

/// Whom HTTP without encryption is spoken with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Plain {
    /// Registries on this machine.
    #[default]
    Here,
    /// All of them.
    Everywhere,
    /// None.
    Nowhere,
}

/// A name in a registry.
pub struct Registry {
    pub(crate) reference: Reference,
    credentials: Credentials,
    transport: Transport,
    /// What is shown with each request, once the registry wanted it.
    authorization: Option<String>,
    pub(crate) watch: Watch,
    runtime: Option<Runtime>,
}

/// What is shown to the registry is in no debug output.
impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("reference", &self.reference)
            .field("credentials", &self.credentials)
            .finish_non_exhaustive()
    }
}

/// A token, under either of the names that it goes by.
#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

/// What is asked of a registry.
#[derive(Clone, Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) method: Method,
    /// Below the name, or a whole address.
    pub(crate) target: &'a str,
    pub(crate) accept: &'a str,
    pub(crate) content_type: &'a str,
    pub(crate) body: Bytes,
}

impl<'a> Ask<'a> {
    pub(crate) fn get(target: &'a str, accept: &'a str) -> Self {
        Self {
            method: Method::GET,
            target,
            accept,
            content_type: "",
            body: Bytes::new(),
        }
    }
}

impl Registry {
    /// The registry of a reference. Nothing is connected before the first request.
    ///
    /// # Errors
    /// What making an event loop says.
    pub fn new(reference: Reference, credentials: Credentials, plain: Plain) -> io::Result<Self> {
        Ok(Self {
            reference,
            credentials,
            transport: Transport::new(plain),
            authorization: None,
            watch: Watch::default(),
            runtime: Some(Builder::new_current_thread().enable_all().build()?),
        })
    }

    /// Has someone told how far the component is that is pushed or pulled.
    #[must_use]
    pub fn watched(self, watch: impl Fn(Passing) + Send + Sync + 'static) -> Self {
        let watch = Watch::new(watch);
        Self { watch, ..self }
    }

    /// The reference that it was made with.
    #[must_use]
    pub fn reference(&self) -> &Reference {
        &self.reference
    }

    /// Works to the end.
    pub(crate) fn block_on<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let lost = || Error::Broken {
            doing: "ask the registry".to_owned(),
            source: "its event loop is busy".into(),
        };
        let runtime = self.runtime.take().ok_or_else(lost)?;
        let done = runtime.block_on(work(self));
        self.runtime = Some(runtime);
        done
    }

    /// Asks, shows who asks where that is wanted, and follows to other places.
    pub(crate) async fn ask(&mut self, ask: Ask<'_>) -> Result<Response<Incoming>, Error> {
        let mut uri = self.address(ask.target)?;
        let mut is_shown = false;
        for _ in 0..=MOST_REDIRECTS {
            let is_home = uri
                .authority()
                .is_some_and(|host| host.as_str() == self.reference.registry);
            let answer = self
                .transport
                .send(self.outgoing(&ask, &uri, is_home))
                .await?;
            let status = answer.status();
            if status == StatusCode::UNAUTHORIZED && is_home {
                if is_shown {
                    return Err(self.denied());
                }
                self.show(&answer, &ask.method).await?;
                is_shown = true;
                continue;
            }
            if status == StatusCode::FORBIDDEN && is_home {
                return Err(self.denied());
            }
            let reads = matches!(ask.method, Method::GET | Method::HEAD);
            if !(status.is_redirection() && reads) {
                return Ok(answer);
            }
            uri = self.location(&answer, &uri)?;
        }
        Err(self.odd("follow the registry to other places", "it never ends"))
    }

    fn outgoing(&self, ask: &Ask<'_>, uri: &Uri, is_home: bool) -> Outgoing {
        let authorization = self.authorization.clone().filter(|_| is_home);
        let given = [(ACCEPT, ask.accept), (CONTENT_TYPE, ask.content_type)];
        let given = given.into_iter().filter(|(_, value)| !value.is_empty());
        let given = given.map(|(name, value)| (name, value.to_owned()));
        let shown = authorization.map(|value| (AUTHORIZATION, value));
        Outgoing {
            method: ask.method.clone(),
            uri: uri.clone(),
            headers: given.chain(shown).collect(),
            body: ask.body.clone(),
            watch: self.watch.clone(),
        }
    }

    /// The whole address of a target below the name.
    pub(crate) fn address(&self, target: &str) -> Result<Uri, Error> {
        let text = match target.contains("://") {
            true => target.to_owned(),
            false => {
                let Reference {
                    registry,
                    repository,
                    ..
                } = &self.reference;
                let scheme = self.transport.scheme(registry);
                format!("{scheme}://{registry}/v2/{repository}/{target}")
            }
        };
        text.parse().map_err(|error| Error::Broken {
            doing: format!("understand the address `{}`", SafeText::label(&text)),
            source: Box::new(error),
        })
    }

    /// Where an answer leads to, by a whole address or by a path.
    pub(crate) fn location(&self, answer: &Response<Incoming>, from: &Uri) -> Result<Uri, Error> {
        let header = answer.headers().get(LOCATION);
        let text = header
            .and_then(|header| header.to_str().ok())
            .unwrap_or_default();
        let doing = "follow the registry to another place";
        let to: Uri = text
            .parse()
            .map_err(|_wrong| self.odd(doing, "it names none"))?;
        if to.authority().is_some() {
            return match to.scheme_str() {
                Some("http" | "https") => Ok(to),
                _ => Err(self.odd(doing, "it names none")),
            };
        }
        let mut parts = from.clone().into_parts();
        parts.path_and_query = to.path_and_query().cloned();
        Uri::from_parts(parts).map_err(|_wrong| self.odd(doing, "it names none"))
    }

    /// Finds out what has to be shown.
    async fn show(&mut self, answer: &Response<Incoming>, method: &Method) -> Result<(), Error> {
        let challenges = answer.headers().get_all(WWW_AUTHENTICATE).iter();
        let mut challenges =
            challenges.filter_map(|header| Challenge::parse(header.to_str().ok()?));
        self.authorization = Some(match challenges.next() {
            None => return Err(self.denied()),
            Some(Challenge::Basic) => self.credentials.basic().ok_or_else(|| self.denied())?,
            Some(Challenge::Bearer {
                realm,
                service,
                scope,
            }) => {
                let scope = scope.unwrap_or_else(|| {
                    let reads = matches!(*method, Method::GET | Method::HEAD);
                    let verbs = if reads { "pull" } else { "pull,push" };
                    format!("repository:{}:{verbs}", self.reference.repository)
                });
                self.token(&realm, service.as_deref(), &scope).await?
            }
        });
        Ok(())
    }

    /// Gets a token.
    async fn token(
        &mut self,
        realm: &str,
        service: Option<&str>,
        scope: &str,
    ) -> Result<String, Error> {
        let mut address = format!(
            "{realm}{}scope={}",
            if realm.contains('?') { '&' } else { '?' },
            escaped(scope)
        );
        if let Some(service) = service {
            address.push_str(&format!("&service={}", escaped(service)));
        }
        let uri = self.address(&address)?;
        let shown = self.credentials.basic().map(|basic| (AUTHORIZATION, basic));
        let outgoing = Outgoing {
            method: Method::GET,
            uri,
            headers: shown.into_iter().collect(),
            body: Bytes::new(),
            watch: Watch::default(),
        };
        let answer = self.transport.send(outgoing).await?;
        if !answer.status().is_success() {
            return Err(self.denied());
        }
        let bytes = whole(answer, "the registry's token", MOST_SAID, &Watch::default()).await?;
        let token: Option<Token> = serde_json::from_slice(&bytes).ok();
        let token = token.and_then(|token| token.token.or(token.access_token));
        let token = token.ok_or_else(|| self.odd("get a token", "there is none in its answer"))?;
        Ok(format!("Bearer {token}"))
    }

    fn denied(&self) -> Error {
        Error::Denied {
            registry: self.reference.registry.clone(),
            repository: self.reference.repository.clone(),
            was_given: self.credentials.known.is_some(),
            helper: self.credentials.helper.clone(),
        }
    }

    /// An answer that the protocol does not have.
    pub(crate) fn odd(&self, doing: &str, why: &str) -> Error {
        Error::Broken {
            doing: format!("{doing} (`{}`)", self.reference.registry),
            source: why.into(),
        }
    }

    /// An answer that is no success, with what it says.
    pub(crate) async fn refused(doing: String, answer: Response<Incoming>) -> Error {
        let status = answer.status().as_u16();
        let said = whole(
            answer,
            "the registry's answer",
            MOST_SAID,
            &Watch::default(),
        )
        .await;
        let said = said.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        Error::Answer {
            doing,
            status,
            said: SafeText::label(said.unwrap_or_default().trim()),
        }
    }
}

/// A value within a query.
pub(crate) fn escaped(text: &str) -> String {
    let is_plain = |byte: u8| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'.' | b'_' | b'~' | b':' | b'/' | b',')
    };
    let escape = |byte: u8| match is_plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}
