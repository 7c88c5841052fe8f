//! Enums whose values are words, for people to write and to read.

use std::fmt::Display;
use std::str::FromStr;

/// An enum that `words!` declared.
pub(crate) trait Word: Copy + Display + FromStr {
    /// All words, in the order in which they are declared.
    const WORDS: &'static [&'static str];
}

/// Declares an enum with a word for each value.
macro_rules! words {
    (
        $(#[doc = $about:literal])+
        pub enum $Name:ident {
            $( $(#[doc = $doc:literal])* $Word:ident = $text:literal, )*
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $Name {
            $( $(#[doc = $doc])* $Word, )*
        }

        impl $Name {
            /// All values, in the order in which they are declared.
            pub const ALL: &'static [$Name] = &[$( $Name::$Word ),*];

            pub fn as_str(self) -> &'static str {
                match self { $( $Name::$Word => $text, )* }
            }
        }

        impl $crate::config::words::Word for $Name {
            const WORDS: &'static [&'static str] = &[$( $text ),*];
        }

        impl std::fmt::Display for $Name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $Name {
            type Err = ();

            fn from_str(text: &str) -> Result<Self, ()> {
                Self::ALL.iter().copied().find(|word| word.as_str() == text).ok_or(())
            }
        }
    };
}
pub(crate) use words;
