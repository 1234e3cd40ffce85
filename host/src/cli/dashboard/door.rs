//! Who may come in: one browser, and of what it sends only what Mica's own page asks for.
//!
//! A page of another site can send requests to a loopback address, and with DNS rebinding read the answers; another
//! user's server on another port gets all cookies of its host name. So
//!
//! - the host is a name below `localhost` that no other run has, and a request that names another is refused;
//! - the secret of the printed address is taken once, for a cookie that scripts cannot read and that goes with no request of
//!   another site (`HttpOnly`, `SameSite=Strict`);
//! - a request that its browser says comes from elsewhere is refused (`Origin`, `Sec-Fetch-Site`), and so is one that would
//!   change something and does not say where it comes from.
//!
//! Invariant: nothing is asked of the daemon for who does not show the cookie.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, header};
use axum::response::Response;
use mica_client::Token;

use super::answers::{Refused, denied, foreign, lead_on};

/// The cookie's name.
const COOKIE: &str = "mica-dashboard";
/// Where the secret of the address is taken, before the secret.
const ENTRY: &str = "/enter/";
/// Hexadecimal digits of the name of a run.
const NAME_DIGITS: usize = 16;
/// What a browser says of where a request comes from, in relation to where it goes.
const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// What becomes of a request.
#[derive(Debug)]
pub(super) enum Visit {
    /// It was answered here.
    Answered(Response),
    /// It brought the secret, and got the cookie.
    Entered(Response),
    /// It is for the daemon.
    Inside,
}

/// Decides who comes in.
#[derive(Debug)]
pub(super) struct Door {
    /// Name and port, as requests name their host.
    authority: String,
    /// What the printed address has.
    ticket: Token,
    is_spent: AtomicBool,
    /// What the cookie has.
    session: Token,
}

impl Door {
    /// A door at this port, with a name and secrets of its own.
    ///
    /// # Errors
    /// What the kernel's source of randomness says.
    pub(super) fn new(port: u16) -> io::Result<Self> {
        let name = Token::random()?;
        let name: String = name.secret().chars().take(NAME_DIGITS).collect();
        Ok(Self {
            authority: format!("mica-{name}.localhost:{port}"),
            ticket: Token::random()?,
            is_spent: AtomicBool::new(false),
            session: Token::random()?,
        })
    }

    /// The address that lets one browser in.
    pub(super) fn url(&self) -> String {
        format!("http://{}{ENTRY}{}", self.authority, self.ticket.secret())
    }

    /// Looks at a request.
    pub(super) fn look(&self, request: &Request) -> Visit {
        let path = request.uri().path();
        let is_change = !matches!(*request.method(), Method::GET | Method::HEAD);
        if let Err(refused) = self.check_host(request) {
            return Visit::Answered(refused.answer(path));
        }
        // It may be led here by a file or by another program: the secret says enough.
        if let Some(shown) = path.strip_prefix(ENTRY) {
            return self.enter(request, shown);
        }
        let checked = self
            .check_origin(request.headers(), is_change)
            .and_then(|()| self.check_cookie(request.headers()));
        match checked {
            Err(refused) => Visit::Answered(refused.answer(path)),
            Ok(()) if path == "/" => Visit::Answered(lead_on()),
            Ok(()) => Visit::Inside,
        }
    }

    fn enter(&self, request: &Request, shown: &str) -> Visit {
        let path = request.uri().path();
        if request.method() != Method::GET || !self.ticket.is(shown.as_bytes()) {
            let refused = denied(
                StatusCode::FORBIDDEN,
                "the address has a secret that is not this dashboard's",
            );
            return Visit::Answered(refused.answer(path));
        }
        if self.is_spent.swap(true, Ordering::SeqCst) {
            // Whoever comes back to the address in the same browser has been let in already.
            if self.check_cookie(request.headers()).is_ok() {
                return Visit::Answered(lead_on());
            }
            let refused = denied(
                StatusCode::FORBIDDEN,
                "the address has let in a browser already",
            );
            return Visit::Answered(refused.answer(path));
        }
        let cookie = format!(
            "{COOKIE}={}; Path=/; HttpOnly; SameSite=Strict",
            self.session.secret()
        );
        let mut answer = lead_on();
        if let Ok(cookie) = cookie.parse() {
            answer.headers_mut().insert(header::SET_COOKIE, cookie);
        }
        Visit::Entered(answer)
    }

    /// A request names this run as its host, and no other.
    fn check_host(&self, request: &Request) -> Result<(), Refused> {
        let mut hosts = request.headers().get_all(header::HOST).iter();
        let (named, more) = (hosts.next(), hosts.next());
        let is_this =
            named.is_some_and(|host| self.is_authority(host.as_bytes())) && more.is_none();
        let authority = request.uri().authority();
        if is_this && authority.is_none_or(|one| self.is_authority(one.as_str().as_bytes())) {
            return Ok(());
        }
        Err(foreign("the request is meant for another host"))
    }

    fn is_authority(&self, told: &[u8]) -> bool {
        self.authority.as_bytes().eq_ignore_ascii_case(told)
    }

    /// A request comes from the page, or from a person who typed an address.
    fn check_origin(&self, headers: &HeaderMap, is_change: bool) -> Result<(), Refused> {
        let own = |origin: &[u8]| {
            origin
                .strip_prefix(b"http://")
                .is_some_and(|site| self.is_authority(site))
        };
        let mut origins = headers.get_all(header::ORIGIN).iter().peekable();
        if is_change && origins.peek().is_none() {
            return Err(foreign(
                "the request would change something and does not say which page it comes from",
            ));
        }
        let is_near = |site: &[u8]| matches!(site, b"same-origin" | b"none");
        let mut sites = headers.get_all(SITE).iter();
        if origins.all(|origin| own(origin.as_bytes()))
            && sites.all(|site| is_near(site.as_bytes()))
        {
            return Ok(());
        }
        Err(foreign("the request comes from a page of another origin"))
    }

    fn check_cookie(&self, headers: &HeaderMap) -> Result<(), Refused> {
        let cookies = headers.get_all(header::COOKIE).iter();
        let mut pairs = cookies.flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
        let is_shown = |pair: &[u8]| {
            let pair = pair.trim_ascii();
            let value = pair
                .strip_prefix(COOKIE.as_bytes())
                .and_then(|rest| rest.strip_prefix(b"="));
            value.is_some_and(|value| self.session.is(value))
        };
        match pairs.any(is_shown) {
            true => Ok(()),
            false => Err(denied(
                StatusCode::UNAUTHORIZED,
                "this browser has not been let in",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;

    fn door() -> Door {
        Door::new(7788).unwrap()
    }

    /// How a request with these headers is answered; 200 also for one that is the daemon's.
    fn look(door: &Door, method: &str, path: &str, headers: &[(&str, &str)]) -> (u16, bool) {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        match door.look(&request.body(Body::empty()).unwrap()) {
            Visit::Answered(answer) => (answer.status().as_u16(), false),
            Visit::Entered(answer) => (answer.status().as_u16(), true),
            Visit::Inside => (200, true),
        }
    }

    #[test]
    fn the_address_lets_in_once() {
        let door = door();
        let url = door.url();
        let (_, path) = url.split_once(".localhost:7788").unwrap();
        let host = [("host", door.authority.as_str())];
        assert_eq!(look(&door, "GET", "/enter/0000", &host), (403, false));
        assert_eq!(look(&door, "HEAD", path, &host), (403, false));
        assert_eq!(
            look(&door, "GET", path, &[("host", "127.0.0.1:7788")]),
            (403, false)
        );
        // A file leads here, which is another site.
        let led = [host[0], ("sec-fetch-site", "cross-site")];
        assert_eq!(look(&door, "GET", path, &led), (200, true));
        assert_eq!(look(&door, "GET", path, &led), (403, false));
        let cookie = format!("{COOKIE}={}", door.session.secret());
        let back = [host[0], ("cookie", cookie.as_str())];
        assert_eq!(look(&door, "GET", path, &back), (200, false));
    }

    #[test]
    fn only_the_page_of_this_run_reaches_the_daemon() {
        let door = door();
        let authority = door.authority.as_str();
        let origin = format!("http://{authority}");
        let cookie = format!("other=1; {COOKIE}={}", door.session.secret());
        let own = [("host", authority), ("cookie", cookie.as_str())];
        let with = |more: &[(&'static str, &str)], method: &str| {
            let more: Vec<_> = own.iter().copied().chain(more.iter().copied()).collect();
            look(&door, method, "/v1/status", &more)
        };
        assert_eq!(with(&[], "GET"), (200, true));
        assert_eq!(
            with(
                &[("origin", &origin), ("sec-fetch-site", "same-origin")],
                "POST"
            ),
            (200, true)
        );
        assert_eq!(with(&[("sec-fetch-site", "none")], "GET"), (200, true));
        for (more, method) in [
            (&[][..], "POST"),
            (&[], "DELETE"),
            (&[("origin", "http://evil.example")], "POST"),
            (&[("origin", "null")], "GET"),
            (&[("origin", "http://localhost:7788")], "POST"),
            (
                &[
                    ("origin", origin.as_str()),
                    ("origin", "http://evil.example"),
                ],
                "POST",
            ),
            (&[("sec-fetch-site", "same-site")], "GET"),
            (&[("sec-fetch-site", "cross-site")], "GET"),
            (&[("host", authority)], "GET"),
        ] {
            assert_eq!(with(more, method), (403, false), "{method} {more:?}");
        }
    }

    #[test]
    fn another_host_or_cookie_reaches_nothing() {
        let door = door();
        let cookie = format!("{COOKIE}={}", door.session.secret());
        let own = [
            ("host", door.authority.as_str()),
            ("cookie", cookie.as_str()),
        ];
        assert_eq!(look(&door, "GET", "/v1/status", &own), (200, true));
        for host in [
            "evil.example",
            "localhost:7788",
            "127.0.0.1:7788",
            "mica-0.localhost:7788",
        ] {
            let other = [("host", host), own[1]];
            assert_eq!(
                look(&door, "GET", "/v1/status", &other),
                (403, false),
                "{host}"
            );
        }
        for cookie in [
            "",
            "mica-dashboard=",
            "mica-dashboard=00",
            "xmica-dashboard=1",
        ] {
            let other = [own[0], ("cookie", cookie)];
            assert_eq!(
                look(&door, "GET", "/v1/status", &other),
                (401, false),
                "{cookie}"
            );
        }
        assert_eq!(look(&door, "GET", "/dashboard/", &[own[0]]), (401, false));
    }
}
