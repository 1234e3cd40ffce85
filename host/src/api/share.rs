//! Fair shares: how much of a listener one client may hold.
//!
//! A listener has room for so many connections, calls and streams, and each client for fewer than all of them. Whoever is
//! over the limit is refused at once and told so: a queue would let one client keep the others waiting without a word.
//!
//! Invariant: a share is given back when its guard is dropped, and at no other time.

use axum::body::{Body, Bytes};
use http_body::{Body as HttpBody, Frame, SizeHint};
use mica_engine::MountClient;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Who is at the other end of a connection, as the kernel says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Client {
    /// A process of root. containerd, dockerd and the command line all run as root, so root's processes are told apart.
    Process(i32),
    /// A user. Their processes are counted together, because a user can start as many as they like.
    User(u32),
    /// The other end of a TCP connection.
    Address(IpAddr),
}

impl Client {
    /// Its process and user, as far as they are known.
    pub(in crate::api) fn process(self) -> Option<MountClient> {
        match self {
            Self::Process(pid) => Some(MountClient::new(u32::try_from(pid).ok(), Some(0))),
            Self::User(uid) => Some(MountClient::new(None, Some(uid))),
            Self::Address(_) => None,
        }
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process(process) => write!(f, "root, process {process}"),
            Self::User(user) => write!(f, "user {user}"),
            Self::Address(address) => write!(f, "{address}"),
        }
    }
}

/// Something of a listener that clients share.
#[derive(Debug)]
pub(crate) struct Shares {
    what: &'static str,
    setting: &'static str,
    most: usize,
    most_of_client: usize,
    held: Mutex<HashMap<Client, usize>>,
}

/// A part that one client holds.
#[derive(Debug)]
pub(crate) struct Share {
    shares: Arc<Shares>,
    client: Client,
}

/// Nothing is left.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Full {
    /// For this client.
    #[error(
        "this client has {most} {what} open, as many as one client may (`api.client_{setting}`)"
    )]
    OfClient {
        /// What is counted.
        what: &'static str,
        /// The setting that says how many.
        setting: &'static str,
        /// How many.
        most: usize,
    },
    /// For anyone.
    #[error("{most} {what} are open, as many as this listener may have (`api.{setting}`)")]
    OfListener {
        /// What is counted.
        what: &'static str,
        /// The setting that says how many.
        setting: &'static str,
        /// How many.
        most: usize,
    },
}

impl Shares {
    /// Room for `most`, of which one client gets up to `most_of_client`. `setting` is the name of the first number in the
    /// configuration, and with `client_` before it of the second.
    pub(crate) fn new(
        what: &'static str,
        setting: &'static str,
        most: usize,
        most_of_client: usize,
    ) -> Arc<Self> {
        Arc::new(Self {
            what,
            setting,
            most,
            most_of_client,
            held: Mutex::default(),
        })
    }

    /// How many are held, by whomever.
    pub(crate) fn held(&self) -> usize {
        self.held.lock().values().sum()
    }

    /// Takes one for a client.
    ///
    /// # Errors
    /// [`Full`], at once.
    pub(crate) fn take(self: &Arc<Self>, client: Client) -> Result<Share, Full> {
        let (what, setting) = (self.what, self.setting);
        let mut held = self.held.lock();
        if held
            .get(&client)
            .is_some_and(|held| *held >= self.most_of_client)
        {
            let most = self.most_of_client;
            return Err(Full::OfClient {
                what,
                setting,
                most,
            });
        }
        if held.values().sum::<usize>() >= self.most {
            let most = self.most;
            return Err(Full::OfListener {
                what,
                setting,
                most,
            });
        }
        *held.entry(client).or_default() += 1;
        drop(held);
        Ok(Share {
            shares: Arc::clone(self),
            client,
        })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut held = self.shares.held.lock();
        if let Some(count) = held.get_mut(&self.client) {
            *count -= 1;
            // A client that holds nothing is forgotten, so that the table stays as small as what is open.
            if *count == 0 {
                held.remove(&self.client);
            }
        }
    }
}

/// What is open on the listeners, for whoever measures it.
#[derive(Debug, Default)]
pub(crate) struct Listeners(Mutex<Vec<Listener>>);

/// A listener's name, with its connections, requests and streams.
type Listener = (&'static str, [Arc<Shares>; 3]);

impl Listeners {
    /// Adds a listener.
    pub(crate) fn add(&self, name: &'static str, shares: [Arc<Shares>; 3]) {
        self.0.lock().push((name, shares));
    }

    /// How many connections, requests and streams are open on each.
    pub(crate) fn open(&self) -> Vec<(&'static str, [usize; 3])> {
        let listeners = self.0.lock();
        let open = listeners.iter();
        open.map(|(name, shares)| (*name, shares.each_ref().map(|of| of.held())))
            .collect()
    }
}

/// The client of a request, which its connection puts into the request's extensions.
#[derive(Clone, Debug)]
pub(crate) struct Visitor {
    /// Who it is.
    pub(crate) client: Client,
    /// Archives and lists that are under way on this listener.
    pub(crate) streams: Arc<Shares>,
    /// Mebibytes of messages that are not whole yet.
    pub(crate) memory: Arc<Shares>,
}

impl Visitor {
    /// Takes a stream of the listener's.
    ///
    /// # Errors
    /// [`Full`].
    pub(crate) fn stream(&self) -> Result<Share, Full> {
        self.streams.take(self.client)
    }

    /// Takes a mebibyte of the listener's memory.
    ///
    /// # Errors
    /// [`Full`].
    pub(crate) fn memory(&self) -> Result<Share, Full> {
        self.memory.take(self.client)
    }
}

/// A body that holds something until it has been taken, or its client has gone.
struct Holding<G> {
    body: Body,
    _guard: G,
}

/// Keeps `guard` until the whole body was sent or dropped.
pub(crate) fn hold<G: Send + Unpin + 'static>(body: Body, guard: G) -> Body {
    Body::new(Holding {
        body,
        _guard: guard,
    })
}

impl<G: Unpin> HttpBody for Holding<G> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn one_client_cannot_take_what_others_need() {
        let shares = Shares::new("connections", "connections", 3, 2);
        let (greedy, other) = (Client::User(1000), Client::User(1001));
        let held = [shares.take(greedy).unwrap(), shares.take(greedy).unwrap()];
        let refused = shares.take(greedy).unwrap_err();
        assert!(
            refused.to_string().contains("`api.client_connections`"),
            "{refused}"
        );
        let last = shares.take(other).unwrap();
        let refused = shares.take(Client::Process(1)).unwrap_err();
        assert!(
            refused.to_string().contains("`api.connections`"),
            "{refused}"
        );
        drop(held);
        let again = shares.take(greedy).unwrap();
        drop((again, last));
        assert!(shares.held.lock().is_empty(), "a client is remembered");
    }

    #[test]
    fn users_count_as_one_and_processes_of_root_and_addresses_as_many() {
        let shares = Shares::new("calls", "calls", 10, 1);
        let clients = [
            Client::Process(1),
            Client::Process(2),
            Client::User(1),
            Client::Address(Ipv4Addr::LOCALHOST.into()),
        ];
        let all: Vec<_> = clients.map(|client| shares.take(client).unwrap()).into();
        assert!(clients.iter().all(|client| shares.take(*client).is_err()));
        drop(all);
    }

    #[tokio::test]
    async fn a_body_holds_its_share_until_it_was_taken() {
        let shares = Shares::new("streams", "streams", 1, 1);
        let client = Client::User(1);
        let body = hold(Body::from("x"), shares.take(client).unwrap());
        assert!(shares.take(client).is_err());
        assert_eq!(axum::body::to_bytes(body, 10).await.unwrap(), "x");
        drop(shares.take(client).unwrap());
        drop(hold(Body::empty(), shares.take(client).unwrap()));
        drop(shares.take(client).unwrap());
    }
}
