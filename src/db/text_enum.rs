//! Enumerations that are text in the database, on the wire and in the dictionaries: one spelling for all three.

/// Name of a dictionary and its values: wire value, Chinese and English label.
pub type Dictionary = (&'static str, &'static [(&'static str, &'static str, &'static str)]);

/// Declares an enumeration with its wire values. Gives it serde, a schema, diesel's text conversions, `ALL` and `as_str`.
/// `tests/api/schema.rs` compares `ALL` with the CHECK of the column. (The wire value is a `tt`: utoipa does not see through the
/// group that a `literal` comes in.)
#[macro_export]
macro_rules! text_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:tt, $zh:literal, $en:literal;)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize, utoipa::ToSchema,
            diesel::expression::AsExpression, diesel::deserialize::FromSqlRow)]
        #[diesel(sql_type = diesel::sql_types::Text)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $text)] $variant,)* }

        impl $name {
            /// Every value, in the order of the dictionaries.
            pub const ALL: &[Self] = &[$(Self::$variant),*];
            /// `(wire value, Chinese label, English label)` of every value, for the dictionaries.
            pub const LABELS: &[(&str, &str, &str)] = &[$(($text, $zh, $en)),*];

            /// The wire value.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                match text { $($text => Ok(Self::$variant),)* _ => Err(format!("{text:?} is no {}", stringify!($name))) }
            }
        }

        impl diesel::serialize::ToSql<diesel::sql_types::Text, diesel::pg::Pg> for $name {
            fn to_sql<'b>(&'b self, out: &mut diesel::serialize::Output<'b, '_, diesel::pg::Pg>) -> diesel::serialize::Result {
                std::io::Write::write_all(out, self.as_str().as_bytes())?;
                Ok(diesel::serialize::IsNull::No)
            }
        }

        impl diesel::deserialize::FromSql<diesel::sql_types::Text, diesel::pg::Pg> for $name {
            fn from_sql(value: diesel::pg::PgValue<'_>) -> diesel::deserialize::Result<Self> {
                Ok(std::str::from_utf8(value.as_bytes())?.parse()?)
            }
        }
    };
}
