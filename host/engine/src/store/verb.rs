//! What the engine asks of drivers, by name.

/// A kind of call of a driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    /// Unpack an archive into a layer.
    Apply,
    /// List what differs from the parent.
    Changes,
    /// Tidy up before the end.
    Cleanup,
    /// Make a layer.
    Create,
    /// Tell what it is, and where content lies.
    Describe,
    /// Write an archive of a layer.
    Diff,
    /// Show a layer to whoever compares two builds.
    Get,
    /// Look whether it can work here.
    Init,
    /// Show a layer to the daemon, for its files.
    LookInto,
    /// Tell of a layer what people may want to know.
    Metadata,
    /// Show a layer to processes.
    Mount,
    /// Hear that a layer is shown no more.
    Put,
    /// Remove a layer.
    Remove,
    /// Count the bytes of a difference.
    Size,
    /// Tell of itself what people may want to know.
    Status,
    /// Show a layer's own content, to be measured.
    Usage,
    /// Plan a view that someone else will mount.
    View,
}

impl Verb {
    /// All of them, in the order of their words.
    pub(crate) const ALL: [Self; 17] = [
        Self::Apply,
        Self::Changes,
        Self::Cleanup,
        Self::Create,
        Self::Describe,
        Self::Diff,
        Self::Get,
        Self::Init,
        Self::LookInto,
        Self::Metadata,
        Self::Mount,
        Self::Put,
        Self::Remove,
        Self::Size,
        Self::Status,
        Self::Usage,
        Self::View,
    ];

    /// The word for it in logs, events and metrics.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Apply => "apply",
            Self::Changes => "changes",
            Self::Cleanup => "cleanup",
            Self::Create => "create",
            Self::Describe => "describe",
            Self::Diff => "diff",
            Self::Get => "get",
            Self::Init => "init",
            Self::LookInto => "look into",
            Self::Metadata => "metadata",
            Self::Mount => "mount",
            Self::Put => "put",
            Self::Remove => "remove",
            Self::Size => "size",
            Self::Status => "status",
            Self::Usage => "usage",
            Self::View => "view",
        }
    }
}
