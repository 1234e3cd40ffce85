//! Where a component comes from: a file, or a registry. What comes of either is the same: its bytes, and what came with it.
//!
//! Invariant: this program, with the rights of whoever runs it, asks registries; the daemon never does.

use super::{component, read};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use mica_client::progress::{ProgressBar, bytes_bar, tell_bytes};
use mica_client::{Client, Exit, Failure, Printer};
use mica_registry::{Credentials, Error, Kind, Passing, Plain, Reference, Registry};
use mica_runtime::Limits;
use mica_signatures::Signature;
use mica_text::with_causes;
use serde_json::Value;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// Bytes of a password.
const MOST_PASSWORD: u64 = 64 << 10;

/// How a registry is asked.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct RegistryArguments {
    /// The user's name at the registry; without it that of ~/.docker/config.json, or of the file that REGISTRY_AUTH_FILE names
    #[arg(long, value_name = "NAME", requires = "password_stdin")]
    username: Option<String>,
    /// Read the password from standard input
    #[arg(long, requires = "username")]
    password_stdin: bool,
    /// Ask the registry without TLS, although it is not on this machine
    #[arg(long)]
    plain_http: bool,
    /// Ask the registry with TLS, although it is on this machine
    #[arg(long, conflicts_with = "plain_http")]
    tls: bool,
    /// Pull nothing larger than this
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().component_bytes)]
    max_bytes: usize,
}

/// What comes with a component.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct PaperArguments {
    /// A signature of the component, of minisign or a bundle of sigstore; FILE.minisig and FILE.sigstore.json are found by themselves
    #[arg(long, value_name = "FILE")]
    signature: Vec<PathBuf>,
    /// Take a component from a registry without a signature, if the daemon's rules leave that to you
    #[arg(long)]
    allow_unsigned: bool,
}

/// Where a component comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A file.
    File(PathBuf),
    /// A driver in a registry.
    Reference(Reference),
}

/// A component that has come, with what came with it.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    /// The component.
    pub(super) component: Bytes,
    /// The reference that it was pulled by, with the digest of its manifest.
    pub(super) reference: Option<Reference>,
    /// Its signatures.
    pub(super) signatures: Vec<Signature>,
    takes_unsigned: bool,
}

/// A reference with the scheme, or one whose first part is a host, unless a file is called so.
impl std::str::FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match Reference::is_meant(text) && !Path::new(text).exists() {
            true => Reference::parse(text)
                .map(Self::Reference)
                .map_err(|error| error.to_string()),
            false => Ok(Self::File(text.into())),
        }
    }
}

impl Source {
    /// Gets the component.
    ///
    /// # Errors
    /// What reading or the registry says.
    pub(super) fn fetch(
        &self,
        printer: &Printer,
        access: &RegistryArguments,
        papers: &PaperArguments,
    ) -> Result<Delivery, Failure> {
        let mut delivery = match self {
            Self::File(path) => Delivery::of_file(printer, path, papers)?,
            Self::Reference(reference) => {
                let bar = bytes_bar(format!("pull {reference}"), None);
                let mut registry = access.registry(reference)?.watched(moves(&bar));
                let pulled = registry.pull(access.max_bytes);
                bar.finish_and_clear();
                let pulled = pulled.map_err(refused)?;
                Delivery {
                    component: pulled.component,
                    reference: Some(pulled.reference),
                    signatures: pulled.signatures,
                    takes_unsigned: papers.allow_unsigned,
                }
            }
        };
        // Those that are named come first: what a registry has beside them must not crowd them out.
        let named = papers.signature.iter().map(|path| signature(path));
        let mut signatures = named.collect::<Result<Vec<_>, _>>()?;
        signatures.append(&mut delivery.signatures);
        signatures.truncate(Signature::MOST);
        delivery.signatures = signatures;
        Ok(delivery)
    }
}

impl Delivery {
    /// A file, with the signatures that lie beside it unless some are named, or else with the manifest that lies there: a signature is about
    /// the component as it is.
    fn of_file(printer: &Printer, path: &Path, papers: &PaperArguments) -> Result<Self, Failure> {
        let signatures = match papers.signature.is_empty() {
            true => beside(path)?,
            false => Vec::new(),
        };
        let component = match papers.signature.is_empty() && signatures.is_empty() {
            true => component(printer, path)?,
            false => read(path)?,
        };
        Ok(Self {
            component: component.into(),
            reference: None,
            signatures,
            takes_unsigned: false,
        })
    }

    /// Sends it to the daemon.
    ///
    /// # Errors
    /// What the daemon or the connection says.
    pub(super) fn send(&self, client: &Client, target: &str) -> Result<Value, Failure> {
        client.post_bytes(target, self.component.clone(), &self.headers())
    }

    /// What the daemon is told beside the component.
    fn headers(&self) -> Vec<(&'static str, String)> {
        let reference = self.reference.iter();
        let reference = reference.map(|reference| ("mica-reference", reference.to_string()));
        let signatures = self.signatures.iter().map(|signature| {
            let (kind, bytes) = (signature.kind().word(), STANDARD.encode(signature.bytes()));
            ("mica-signature", format!("{kind} {bytes}"))
        });
        reference.chain(signatures).collect()
    }

    /// What the query says of components without signature.
    pub(super) fn unsigned(&self) -> Option<String> {
        self.takes_unsigned.then(|| "allow".to_owned())
    }
}

impl RegistryArguments {
    /// The registry of a reference, with what shows it who asks.
    ///
    /// # Errors
    /// What reading a password says.
    pub(super) fn registry(&self, reference: &Reference) -> Result<Registry, Failure> {
        let credentials = match &self.username {
            Some(user) => Credentials::of(user.clone(), password()?),
            None => {
                let file =
                    Credentials::usual_file(|name| std::env::var_os(name).map(PathBuf::from));
                let found = file.map(|file| Credentials::of_file(&file, &reference.registry));
                found.transpose().map_err(refused)?.unwrap_or_default()
            }
        };
        let plain = match (self.plain_http, self.tls) {
            (true, _) => Plain::Everywhere,
            (false, true) => Plain::Nowhere,
            (false, false) => Plain::Here,
        };
        Registry::new(reference.clone(), credentials, plain)
            .map_err(Failure::io("make an event loop"))
    }
}

fn password() -> Result<String, Failure> {
    let mut password = String::new();
    let read = io::stdin()
        .lock()
        .take(MOST_PASSWORD)
        .read_to_string(&mut password);
    read.map_err(Failure::io("read the password from standard input"))?;
    Ok(password.trim_end_matches(['\r', '\n']).to_owned())
}

/// Moves a bar as the registry's client says.
pub(super) fn moves(bar: &ProgressBar) -> impl Fn(Passing) + Send + Sync + use<> {
    let bar = bar.clone();
    move |passing| match passing {
        Passing::Begins(bytes) => {
            tell_bytes(&bar, Some(bytes));
            bar.set_position(0);
        }
        Passing::Passed(bytes) => bar.inc(bytes),
    }
}

/// A failure at a registry, as this program ends with one.
pub(super) fn refused(error: Error) -> Failure {
    let exit = match error.kind() {
        Kind::Invalid | Kind::Unacceptable => Exit::Invalid,
        Kind::NotFound => Exit::NotFound,
        Kind::Unreachable | Kind::Denied => Exit::Failed,
    };
    Failure::Told {
        what: with_causes(&error),
        remedy: Some(error.remedy()),
        exit,
        code: Some(error.code()),
    }
}

/// Reads a signature that was named.
pub(super) fn signature(path: &Path) -> Result<Signature, Failure> {
    let mut bytes = Vec::new();
    let most = Signature::MOST_BYTES as u64 + 1;
    let read = std::fs::File::open(path).and_then(|file| file.take(most).read_to_end(&mut bytes));
    read.map_err(Failure::io(format!(
        "read the signature `{}`",
        path.display()
    )))?;
    Signature::of_bytes(bytes).map_err(|refusal| Failure::Rejected {
        what: format!("signature `{}`: {refusal}", path.display()),
        remedy: "name what `minisign -S` or `cosign sign-blob --bundle` has written".to_owned(),
    })
}

/// The signatures that lie beside a component.
pub(super) fn beside(component: &Path) -> Result<Vec<Signature>, Failure> {
    let paths = mica_signatures::Kind::ALL
        .into_iter()
        .map(|kind| ending(component, kind));
    let found = paths.filter(|path| path.exists());
    found.map(|path| signature(&path)).collect()
}

/// Where a signature of a component lies.
pub(super) fn ending(component: &Path, kind: mica_signatures::Kind) -> PathBuf {
    let mut path = component.as_os_str().to_owned();
    path.push(kind.ending());
    path.into()
}
