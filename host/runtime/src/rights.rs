//! What an operator may bound within an interface: kinds of mounts, extended attributes, device nodes.
//!
//! Invariant: one table; whoever reads a setting, checks a call or names a line to add reads it here. What is no rule of an
//! operator's, such as that `trusted.*` is never set, stands beside the call that it is about.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Makes [`Right`] of its table: for each what it is, the variant, the setting, and its value there.
macro_rules! rights {
    ($($(#[$about:meta])* $right:ident, $setting:literal, $value:literal;)*) => {
        /// Something that a driver may do with an interface that it has.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Right {
            $($(#[$about])* $right,)*
        }

        impl Right {
            /// Every right there is.
            pub const ALL: &[Self] = &[$(Self::$right),*];

            /// The setting that names it: `mounts`, `xattrs` or `device_nodes`.
            #[must_use]
            pub fn setting(self) -> &'static str {
                match self {
                    $(Self::$right => $setting,)*
                }
            }

            /// Its value there.
            #[must_use]
            pub fn value(self) -> &'static str {
                match self {
                    $(Self::$right => $value,)*
                }
            }
        }
    };
}

rights! {
    /// Views that are a directory, shown elsewhere.
    MountBind, "mounts", "bind";
    /// Views that are stacked directories.
    MountOverlay, "mounts", "overlay";
    /// Attributes of users and programs.
    XattrUser, "xattrs", "user";
    /// Capabilities that a program gets when it is started.
    XattrCapability, "xattrs", "security.capability";
    /// Access lists.
    XattrAclAccess, "xattrs", "system.posix_acl_access";
    /// Access lists that new files inherit.
    XattrAclDefault, "xattrs", "system.posix_acl_default";
    /// Block and character devices.
    DeviceNodes, "device_nodes", "true";
}

impl Right {
    const fn bit(self) -> u8 {
        1 << self as u8
    }

    /// The right to set an extended attribute, if it is one that a driver may set at all.
    pub(crate) fn of_xattr(name: &[u8]) -> Option<Self> {
        match name {
            b"security.capability" => Some(Self::XattrCapability),
            b"system.posix_acl_access" => Some(Self::XattrAclAccess),
            b"system.posix_acl_default" => Some(Self::XattrAclDefault),
            _ if name.starts_with(b"user.") => Some(Self::XattrUser),
            _ => None,
        }
    }

    /// The line of a configuration that gives it beside `others`.
    #[must_use]
    pub fn line(self, others: Rights) -> String {
        if self == Self::DeviceNodes {
            return "device_nodes = true".to_owned();
        }
        let listed = Self::ALL.iter().filter(|right| {
            right.setting() == self.setting() && (**right == self || others.has(**right))
        });
        let listed: Vec<_> = listed
            .map(|right| format!("\"{}\"", right.value()))
            .collect();
        format!("{} = [{}]", self.setting(), listed.join(", "))
    }
}

/// As an operator approves it: `mounts=bind`, `device_nodes=true`.
impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.setting(), self.value())
    }
}

/// A right that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` is none of `{setting}`; there are {known}")]
pub struct UnknownRight {
    setting: &'static str,
    value: String,
    known: String,
}

impl UnknownRight {
    /// The setting that has the value.
    #[must_use]
    pub fn setting(&self) -> &'static str {
        self.setting
    }
}

impl FromStr for Right {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut all = Self::ALL.iter().copied();
        all.find(|right| right.to_string() == text).ok_or(())
    }
}

/// A set of rights.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rights(u8);

impl Rights {
    /// None.
    pub const NONE: Self = Self(0);

    /// All, which a driver has unless something else is said.
    #[must_use]
    pub fn all() -> Self {
        Right::ALL.iter().copied().fold(Self::NONE, Self::and)
    }

    /// Those that settings name; what is not said is not bounded.
    ///
    /// # Errors
    /// [`UnknownRight`] for a value that there is not.
    pub fn of(
        mounts: Option<&[String]>,
        xattrs: Option<&[String]>,
        device_nodes: Option<bool>,
    ) -> Result<Self, UnknownRight> {
        let mut rights = Self::of_setting("mounts", mounts)?;
        rights.0 |= Self::of_setting("xattrs", xattrs)?.0;
        match device_nodes {
            Some(false) => Ok(rights),
            Some(true) | None => Ok(rights.and(Right::DeviceNodes)),
        }
    }

    fn of_setting(setting: &'static str, values: Option<&[String]>) -> Result<Self, UnknownRight> {
        let known: Vec<Right> = Right::ALL
            .iter()
            .copied()
            .filter(|right| right.setting() == setting)
            .collect();
        let Some(values) = values else {
            return Ok(known.into_iter().fold(Self::NONE, Self::and));
        };
        values.iter().try_fold(Self::NONE, |rights, value| {
            let found = known.iter().find(|right| right.value() == value);
            found.map(|right| rights.and(*right)).ok_or_else(|| {
                let names: Vec<_> = known.iter().map(|right| right.value()).collect();
                UnknownRight {
                    setting,
                    value: mica_text::SafeText::label(value).into(),
                    known: names.join(", "),
                }
            })
        })
    }

    /// These and one more.
    #[must_use]
    pub fn and(self, right: Right) -> Self {
        Self(self.0 | right.bit())
    }

    /// Whether one is among them.
    #[must_use]
    pub fn has(self, right: Right) -> bool {
        self.0 & right.bit() != 0
    }

    /// Those that both have.
    #[must_use]
    pub fn common(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Each of them, in the order of the table.
    pub fn iter(self) -> impl Iterator<Item = Right> {
        Right::ALL
            .iter()
            .copied()
            .filter(move |right| self.has(*right))
    }

    /// Those of a setting, by their values.
    #[must_use]
    pub fn values(self, setting: &str) -> Vec<&'static str> {
        let of = self.iter().filter(|right| right.setting() == setting);
        of.map(Right::value).collect()
    }
}

impl Default for Rights {
    fn default() -> Self {
        Self::all()
    }
}

impl fmt::Debug for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(values: &[&str]) -> Vec<String> {
        values.iter().map(|value| (*value).to_owned()).collect()
    }

    #[test]
    fn what_is_not_said_is_not_bounded() {
        assert_eq!(Rights::of(None, None, None).unwrap(), Rights::all());
        let bind = Rights::of(Some(&texts(&["bind"])), None, Some(false)).unwrap();
        assert!(bind.has(Right::MountBind) && bind.has(Right::XattrUser));
        assert!(!bind.has(Right::MountOverlay) && !bind.has(Right::DeviceNodes));
        let none = Rights::of(Some(&[]), Some(&[]), Some(false)).unwrap();
        assert_eq!(none, Rights::NONE);
    }

    #[test]
    fn a_value_that_there_is_not_is_answered_with_those_that_there_are() {
        let error = Rights::of(Some(&texts(&["loop"])), None, None).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("`loop`") && text.contains("bind, overlay"),
            "{text}"
        );
    }

    #[test]
    fn the_line_to_add_has_what_was_given_before() {
        let given = Rights::NONE.and(Right::MountBind);
        let line = Right::MountOverlay.line(given);
        assert_eq!(line, r#"mounts = ["bind", "overlay"]"#);
        assert_eq!(Right::DeviceNodes.line(given), "device_nodes = true");
        let line = Right::XattrCapability.line(given);
        assert_eq!(line, r#"xattrs = ["security.capability"]"#);
    }

    #[test]
    fn every_right_is_read_as_it_is_written() {
        for right in Right::ALL {
            assert_eq!(right.to_string().parse(), Ok(*right));
        }
        assert!("mounts".parse::<Right>().is_err());
    }
}
