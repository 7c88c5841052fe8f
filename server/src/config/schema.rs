//! The tables in which keys are written down.

/// Declares a section: a struct of settings with its defaults.
///
/// A line reads `APPLIES NAME: TYPE = DEFAULT, in RANGE, like EXAMPLE;`. APPLIES is `now` or `restart` (what a reload
/// does with it), `required` (no default), or `section` (a table of its own). RANGE bounds a number; EXAMPLE is TOML
/// that the reference file shows for a key that is absent by default.
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
    };
}

/// Declares an enum whose values are words in the configuration.
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
            /// All words, in the order in which they are declared.
            pub const ALL: &'static [$Name] = &[$( $Name::$Word ),*];

            /// The word as it is written in the configuration.
            pub fn as_str(self) -> &'static str {
                match self { $( $Name::$Word => $text, )* }
            }
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
