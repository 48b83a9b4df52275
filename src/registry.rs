//! `registry!`: one table from which an extension point takes its names, its summaries for
//! `chaos list`, and its parsing.
//!
//! *Registry*: a closed enum with one variant per entry, each variant holding the struct that is
//! its YAML parameters. A value is written as a map with exactly one key, the entry's name. The
//! hand-written visitor dispatches statically on that key, so every error keeps its exact place.

/// Declares a registry: the enum, `NAMES`, `ENTRIES`, `name()`, `as_dyn()` and a one-key-map
/// `Deserialize`.
macro_rules! registry {
    (
        $(#[$meta:meta])*
        $spec:ident: dyn $seam:ident, $what:literal;
        $($name:literal => $module:ident::$entry:ident: $summary:literal,)*
    ) => {
        $(#[$meta])*
        pub enum $spec {
            $(#[doc = $summary] $entry($module::$entry),)*
        }

        impl $spec {
            /// The names of all entries.
            pub const NAMES: &'static [&'static str] = &[$($name),*];
            /// Every entry: its name and what it does in one line.
            pub const ENTRIES: &'static [(&'static str, &'static str)] =
                &[$(($name, $summary)),*];

            /// The entry's name.
            #[must_use]
            pub const fn name(&self) -> &'static str {
                match self { $(Self::$entry(_) => $name,)* }
            }

            /// The entry behind the seam that all of them share.
            #[must_use]
            pub fn as_dyn(&self) -> &dyn $seam {
                match self { $(Self::$entry(entry) => entry,)* }
            }
        }

        impl<'de> serde::Deserialize<'de> for $spec {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                struct OneKey;

                impl<'de> serde::de::Visitor<'de> for OneKey {
                    type Value = $spec;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        write!(f, "a {}: one of {}", $what, $spec::NAMES.join(", "))
                    }

                    fn visit_map<A: serde::de::MapAccess<'de>>(
                        self,
                        mut map: A,
                    ) -> Result<$spec, A::Error> {
                        let Some(name) = map.next_key::<String>()? else {
                            return Err(serde::de::Error::invalid_length(0, &self));
                        };
                        let value = match name.as_str() {
                            $($name => map.next_value::<$module::$entry>().map($spec::$entry),)*
                            _ => Err(serde::de::Error::unknown_variant(&name, $spec::NAMES)),
                        }?;
                        match map.next_key::<String>()? {
                            None => Ok(value),
                            Some(second) => Err(serde::de::Error::custom(format_args!(
                                "one {} holds one key, found `{name}` and `{second}`", $what
                            ))),
                        }
                    }
                }

                from.deserialize_map(OneKey)
            }
        }
    };
}

pub(crate) use registry;
