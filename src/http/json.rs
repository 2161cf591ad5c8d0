//! JSON as it comes from outside: names stand once, and a whole number is an integer however it is written (`5` or `5.0`, as
//! JSON Schema has it), so that what the document accepts can be read.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Greatest number below which every whole number is held exactly by a float.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// A value that was read strictly.
pub struct Strict(pub Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reading).map(Self)
    }
}

struct Reading;

impl<'de> Visitor<'de> for Reading {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        if value.fract() == 0.0 && value.abs() <= EXACT {
            return Ok((value as i64).into());
        }
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut read = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            read.push(item);
        }
        Ok(Value::Array(read))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut read = Map::new();
        while let Some((name, Strict(value))) = members.next_entry::<String, Strict>()? {
            if read.contains_key(&name) {
                return Err(de::Error::custom(format_args!("the name {name:?} stands twice")));
            }
            read.insert(name, value);
        }
        Ok(Value::Object(read))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(text: &str) -> Result<Value, serde_json::Error> {
        serde_json::from_str(text).map(|Strict(value)| value)
    }

    #[test]
    fn a_whole_number_is_an_integer_however_it_is_written() {
        assert_eq!(read("[5.0, -0.0, 1e3, 2.5, 1e300]").unwrap(), json!([5, 0, 1000, 2.5, 1e300]));
        assert_eq!(read("[18446744073709551615, -9223372036854775808]").unwrap(), json!([u64::MAX, i64::MIN]));
    }

    #[test]
    fn names_stand_once_at_every_depth() {
        assert_eq!(read(r#"{"a": {"b": null, "c": [true, "x"]}}"#).unwrap(), json!({ "a": { "b": null, "c": [true, "x"] } }));
        let twice = read(r#"{"a": [{"b": 1, "\u0062": 2}]}"#).unwrap_err();
        assert!(twice.is_data() && twice.to_string().contains("\"b\" stands twice"), "{twice}");
        assert!(read("{").unwrap_err().is_eof() && read("{,}").unwrap_err().is_syntax());
    }
}
