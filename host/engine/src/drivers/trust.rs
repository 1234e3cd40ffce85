//! From whom a driver is taken.
//!
//! A component is judged when it comes: by a client, or with a file of the drivers directory. What is kept was judged then, and goes on
//! after a restart and a rollback. What ships with the program is part of it.
//!
//! Invariant: a signature that does not fit is refused whatever the rules say of components without one; the first rule that is about a
//! component is the only one that counts.
//!
//! See docs/decisions/0067-who-signed-a-driver-is-verified-at-its-load.md.

use super::Drivers;
use crate::settings::Origin;
use crate::view::{Provenance, SignerView};
use crate::{Error, Moment, Result, SafeText};
use glob::Pattern;
use mica_signatures::{Kind, Signature, Signer, Trust};
use mica_sys::filesystem;
use serde::{Deserialize, Serialize};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// What becomes of a component that nobody signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unsigned {
    /// It is taken; one from a registry only if whoever asks says so.
    Allow,
    /// The same, and the log tells of it.
    Warn,
    /// It is not taken.
    Refuse,
}

/// Who has to have signed which drivers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrustRule {
    /// The names of drivers that it is about; all without it.
    pub name: Option<Pattern>,
    /// The registry, or a name there and what is below it, that it is about; without it, all of them and files.
    pub registry: Option<String>,
    /// Who is trusted.
    pub trust: Trust,
    /// What becomes of a component without a signature. Without it, such a component is taken only if it is a file and nobody is trusted.
    pub unsigned: Option<Unsigned>,
}

/// What comes with a component.
#[derive(Clone, Debug, Default)]
pub struct Papers {
    /// The reference that it was pulled by, with the digest of its manifest.
    pub reference: Option<SafeText>,
    /// Its signatures.
    pub signatures: Vec<Signature>,
    /// Whether whoever asks takes it without a signature, where the rules leave that to them.
    pub takes_unsigned: bool,
}

/// How a component is vouched for.
#[derive(Clone, Debug)]
pub(super) enum Voucher {
    /// It was judged when it came.
    Judged(Option<Provenance>),
    /// It comes now, with these.
    Papers(Papers),
}

impl Voucher {
    /// That of a component which the daemon reads itself.
    ///
    /// # Errors
    /// What reading a signature that lies beside its file says.
    pub(super) fn of_origin(origin: &Origin, known: Option<Provenance>) -> Result<Self> {
        match origin {
            Origin::Directory(path) => Ok(Self::Papers(Papers {
                signatures: signatures_beside(path)?,
                ..Papers::default()
            })),
            Origin::Embedded | Origin::Uploaded => Ok(Self::Judged(known)),
        }
    }
}

impl TrustRule {
    fn is_about_place(&self, papers: &Papers) -> bool {
        let Some(registry) = &self.registry else {
            return true;
        };
        let place = papers.reference.as_deref().map(place_of);
        let behind = place.and_then(|place| place.strip_prefix(registry.as_str()));
        behind.is_some_and(|behind| {
            behind.is_empty() || behind.starts_with('/') || registry.ends_with('/')
        })
    }

    /// Whether it is about a driver of this name; nothing if that depends on the name.
    fn is_about(&self, name: Option<&str>, papers: &Papers) -> Option<bool> {
        match (&self.name, name) {
            _ if !self.is_about_place(papers) => Some(false),
            (None, _) => Some(true),
            (Some(pattern), Some(name)) => Some(pattern.matches(name)),
            (Some(_), None) => None,
        }
    }

    fn unsigned(&self, papers: &Papers) -> Unsigned {
        self.unsigned
            .unwrap_or(match (&papers.reference, self.trust.is_empty()) {
                (None, true) => Unsigned::Allow,
                _ => Unsigned::Refuse,
            })
    }

    /// Who signed a component; nothing if nobody did, and that is fine.
    fn judge(
        &self,
        name: Option<&str>,
        component: &[u8],
        papers: &Papers,
    ) -> Result<Option<Signer>> {
        if !self.trust.is_empty() && !papers.signatures.is_empty() {
            return self.signer(component, papers).map(Some);
        }
        let unlooked = match papers.signatures.is_empty() {
            true => "nobody signed it",
            false => "no rule says who is trusted to sign it",
        };
        let from = papers.reference.as_deref();
        let shown = shown(papers);
        let rule = self.unsigned(papers);
        match rule {
            Unsigned::Refuse => Err(Error::DriverUntrusted {
                reason: format!("{shown}{unlooked}"),
                remedy: "sign it, and have the key or the identity in an entry `[[drivers.trust]]` of the daemon's configuration; or let `unsigned` of that entry allow it".to_owned(),
            }),
            Unsigned::Allow | Unsigned::Warn if from.is_some() && !papers.takes_unsigned => {
                Err(Error::DriverUntrusted {
                    reason: format!("{shown}{unlooked}"),
                    remedy: "take it nevertheless with `--allow-unsigned` (`unsigned=allow` over REST)".to_owned(),
                })
            }
            Unsigned::Warn | Unsigned::Allow => {
                // It may be under another rule as long as its name is not known.
                if let (Unsigned::Warn, Some(driver)) = (rule, name) {
                    tracing::warn!(driver, reference = from, "{unlooked}");
                }
                Ok(None)
            }
        }
    }

    /// Who signed a component, of those who are trusted.
    fn signer(&self, component: &[u8], papers: &Papers) -> Result<Signer> {
        let mut reasons = Vec::new();
        for signature in papers.signatures.iter().take(Signature::MOST) {
            match signature.verify(component, &self.trust) {
                Ok(signer) => return Ok(signer),
                Err(refusal) => reasons.push(format!(
                    "signature of {}: {refusal}",
                    signature.kind().word()
                )),
            }
        }
        Err(Error::DriverUntrusted {
            reason: format!("{}{}", shown(papers), reasons.join("; ")),
            remedy: "get component and signature from their author again; who is to be trusted stands in `keys`, or in `identity` and `issuer`, of an entry `[[drivers.trust]]`, and `trust_root` is the file of the sigstore that has both".to_owned(),
        })
    }
}

impl Drivers<'_> {
    /// Tells who signed a component, if that is fine. While its name is not known, it is refused if it would be under any name.
    pub(super) fn vouch(
        self,
        name: Option<&str>,
        component: &[u8],
        voucher: &Voucher,
    ) -> Result<Option<Provenance>> {
        let papers = match voucher {
            Voucher::Judged(known) => return Ok(known.clone()),
            Voucher::Papers(papers) => papers,
        };
        let rest = TrustRule::default();
        let rules = &self.engine.settings.trust;
        let is_certain = |rule: &&TrustRule| rule.is_about(name, papers) == Some(true);
        let certain = rules.iter().find(is_certain).unwrap_or(&rest);
        let before = rules
            .iter()
            .take_while(|rule| !std::ptr::eq(*rule, certain));
        let possible = before.filter(|rule| rule.is_about(name, papers).is_none());
        let judge = |rule: &TrustRule| rule.judge(name, component, papers);
        let mut refusal = None;
        for rule in possible {
            match judge(rule) {
                Ok(signer) => return Ok(Some(provenance(papers, signer))),
                // One that looked at signatures says more than one that found none.
                Err(error) if !rule.trust.is_empty() => refusal = refusal.or(Some(error)),
                Err(_) => {}
            }
        }
        let signer = judge(certain).map_err(|error| refusal.unwrap_or(error))?;
        Ok(Some(provenance(papers, signer)))
    }
}

fn provenance(papers: &Papers, signer: Option<Signer>) -> Provenance {
    Provenance {
        reference: papers.reference.as_ref().map(ToString::to_string),
        signer: signer.map(|signer| SignerView {
            kind: signer.kind.word().to_owned(),
            identity: signer.identity.to_string(),
            issuer: signer.issuer.map(|issuer| issuer.to_string()),
            comment: signer.comment.map(|comment| comment.to_string()),
        }),
        verified: Moment::now(),
    }
}

/// What a refusal is about, before its reason.
fn shown(papers: &Papers) -> String {
    let from = papers.reference.as_deref();
    from.map_or_else(String::new, |from| format!("`{from}`: "))
}

/// A reference without tag and digest.
fn place_of(reference: &str) -> &str {
    let bare = reference.split('@').next().unwrap_or(reference);
    match bare.rsplit_once(':') {
        Some((place, tag)) if !tag.contains('/') => place,
        _ => bare,
    }
}

/// The signatures that lie beside a component, under its file's name with an ending.
fn signatures_beside(component: &Path) -> Result<Vec<Signature>> {
    let mut found = Vec::new();
    for kind in Kind::ALL {
        let mut path = component.as_os_str().to_owned();
        path.push(kind.ending());
        let path = PathBuf::from(path);
        match read_small(&path) {
            Ok(bytes) => found.push(Signature::new(kind, bytes).map_err(|refusal| {
                Error::DriverUntrusted {
                    reason: format!("`{}`: {refusal}", path.display()),
                    remedy: "put the signature there that belongs to the component".to_owned(),
                }
            })?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::path("read the signature", &path, error)),
        }
    }
    Ok(found)
}

fn read_small(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One byte more than allowed tells a file that is too large from one that just fits.
    let most = Signature::MOST_BYTES as u64 + 1;
    // A pipe or a device of that name is not waited for.
    filesystem::open_file(path)?
        .take(most)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}
