//! The tables in which keys are written down, and what can be asked of them.
//!
//! `settings!` declares a section. A section can be walked: reading, showing and comparing configurations are
//! such walks, and know no key by name.

use std::ops::RangeInclusive;

use super::read::Reader;
use super::source::Node;

/// What is known of a key besides its type and value.
pub(super) struct Key {
    pub name: &'static str,
    /// Sentences for the reference file.
    pub about: &'static str,
    pub applies: Applies,
    /// Whether a table without it is an error.
    pub required: bool,
    /// What a number may be, where that is less than its type can hold.
    pub range: Option<RangeInclusive<u64>>,
    /// TOML that the reference shows for a key that is absent by default.
    pub example: Option<&'static str>,
}

/// When a changed setting takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applies {
    /// A reload applies it.
    Now,
    /// A reload applies it to connections and sessions that begin afterwards.
    New,
    /// It needs a restart.
    Restart,
}

/// A table whose keys are known.
pub(super) trait Section {
    fn keys(&self) -> &'static [Key];
    /// The values, in the order of `keys`.
    fn settings(&self) -> Vec<&dyn Setting>;
    fn settings_mut(&mut self) -> Vec<&mut dyn Setting>;
}

/// What a reload does to a section.
pub(super) trait Reload {
    /// Takes from the running configuration what only a restart may change.
    fn keep_until_restart(&mut self, running: &Self);
}

/// What stands behind a key: a value, a table, or a list of tables.
pub(super) trait Setting {
    /// Takes what `node` says; faults are reported to `reader`, and leave the setting as it was.
    fn read(&mut self, node: &Node, key: &Key, path: &str, reader: &mut Reader);
    fn shown(&self) -> Shown<'_>;
}

/// A value as TOML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Toml {
    /// As it would be written; a secret too.
    pub exact: String,
    /// As people are shown it.
    pub shown: String,
}

pub(super) enum Shown<'a> {
    /// TOML, or nothing when absent.
    Value(Option<Toml>),
    Section(&'a dyn Section),
    /// `blank` is an entry with nothing but defaults.
    Sections {
        entries: Vec<&'a dyn Section>,
        blank: Box<dyn Section>,
    },
}

/// Declares a section: a struct of settings with its defaults.
///
/// A line reads `APPLIES NAME: TYPE = DEFAULT, in RANGE, like EXAMPLE;`. APPLIES is `now`, `new` or `restart`
/// (when a change takes effect), `required` (no default), or `section` (a table of its own). RANGE bounds a number;
/// EXAMPLE is TOML that the reference file shows for a key that is absent by default.
macro_rules! settings {
    (
        $(#[doc = $about:literal])+
        pub struct $Name:ident {
            $(
                $(#[doc = $doc:literal])+
                $applies:ident $key:ident : $Type:ty = $default:expr $(, in $range:expr)? $(, like $example:literal)? ;
            )*
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, PartialEq)]
        pub struct $Name {
            $( $(#[doc = $doc])+ pub $key: $Type, )*
        }

        impl Default for $Name {
            fn default() -> Self {
                $Name { $( $key: $default, )* }
            }
        }

        impl $crate::config::schema::Reload for $Name {
            fn keep_until_restart(&mut self, running: &Self) {
                $( settings!(@keep $applies self.$key, running.$key); )*
            }
        }

        impl $crate::config::schema::Section for $Name {
            fn keys(&self) -> &'static [$crate::config::schema::Key] {
                use $crate::config::schema::{Applies, Key};
                const {
                    &[$( Key {
                        name: stringify!($key),
                        about: concat!($($doc, "\n"),+),
                        applies: settings!(@applies $applies),
                        required: settings!(@required $applies),
                        range: settings!(@option $($range)?),
                        example: settings!(@option $($example)?),
                    } ),*]
                }
            }

            fn settings(&self) -> Vec<&dyn $crate::config::schema::Setting> {
                vec![$( &self.$key ),*]
            }

            fn settings_mut(&mut self) -> Vec<&mut dyn $crate::config::schema::Setting> {
                vec![$( &mut self.$key ),*]
            }
        }

        impl $crate::config::schema::Setting for $Name {
            fn read(
                &mut self,
                node: &$crate::config::source::Node,
                _: &$crate::config::schema::Key,
                path: &str,
                reader: &mut $crate::config::read::Reader,
            ) {
                reader.section(self, node, path);
            }

            fn shown(&self) -> $crate::config::schema::Shown<'_> {
                $crate::config::schema::Shown::Section(self)
            }
        }
    };
    (@applies restart) => { Applies::Restart };
    (@applies new) => { Applies::New };
    (@applies $other:ident) => { Applies::Now };
    (@required required) => { true };
    (@required $other:ident) => { false };
    (@keep restart $new:expr, $running:expr) => { $new = $running.clone() };
    (@keep section $new:expr, $running:expr) => {
        $crate::config::schema::Reload::keep_until_restart(&mut $new, &$running)
    };
    (@keep $other:ident $new:expr, $running:expr) => {
        let _ = &$running;
    };
    (@option) => { None };
    (@option $value:expr) => { Some($value) };
}
