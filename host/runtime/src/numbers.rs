//! Settings that are numbers: what each bounds, what it is by default, and from where to where it may be set.
//!
//! Invariant: a number has one line, and whoever explains it or checks it reads that line.

/// A number that can be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number {
    /// The setting's name, within its section.
    pub name: &'static str,
    /// What it bounds.
    pub about: String,
    /// What it is set to.
    pub value: u64,
    /// What it is set to unless something else is said.
    pub default: u64,
    /// The least that does not refuse everything.
    pub least: u64,
    /// The most that makes sense.
    pub most: u64,
}

impl Number {
    /// Whether it is set to what it may be set to.
    #[must_use]
    pub fn is_in_range(&self) -> bool {
        (self.least..=self.most).contains(&self.value)
    }
}

/// Declares a section of the configuration that has numbers alone, each as `name: type = default, least => most;`.
#[macro_export]
macro_rules! numbers {
    (
        $(#[doc = $title:literal])*
        $visibility:vis struct $section:ident {
            $($(#[doc = $about:literal])* $name:ident: $kind:ty = $default:expr, $least:expr => $most:expr;)*
        }
    ) => {
        $(#[doc = $title])*
        #[derive(Clone, Debug, PartialEq, Eq, ::serde::Serialize, ::serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        $visibility struct $section {
            $($(#[doc = $about])* $visibility $name: $kind,)*
        }

        impl Default for $section {
            fn default() -> Self {
                Self { $($name: $default,)* }
            }
        }

        impl $section {
            /// Every number, in the order in which they are declared.
            #[must_use]
            $visibility fn numbers(&self) -> Vec<$crate::Number> {
                let wide = |number: $crate::Wide| number.0;
                vec![$($crate::Number {
                    name: stringify!($name),
                    about: concat!($($about),*).trim().to_owned(),
                    value: wide(self.$name.into()),
                    default: $default,
                    least: $least,
                    most: $most,
                },)*]
            }
        }
    };
}

/// A number of any of the kinds that settings have.
#[doc(hidden)]
#[derive(Debug)]
pub struct Wide(pub u64);

impl From<u64> for Wide {
    fn from(number: u64) -> Self {
        Self(number)
    }
}

impl From<u32> for Wide {
    fn from(number: u32) -> Self {
        Self(number.into())
    }
}

impl From<usize> for Wide {
    fn from(number: usize) -> Self {
        Self(u64::try_from(number).unwrap_or(u64::MAX))
    }
}
