//! Log lines: key=value or JSON, one per event, without personal data.

use std::io::Write;

use env_logger::fmt::Formatter;
use log::Record;
use log::kv::{Error, Key, Value, VisitSource};

use crate::clock::Clock;
use crate::config::Config;

/// Starts logging to standard error.
pub fn start(config: &Config) {
    let json = config.log_json;
    let clock = Clock::system();
    let started = env_logger::Builder::new()
        .parse_filters(&config.log)
        .format(move |out, record| {
            let at = clock.wall().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
            if json { write_json(out, &at, record) } else { write_text(out, &at, record) }
        })
        .try_init();
    if let Err(fault) = started {
        eprintln!("half-sky: logging was started before: {fault}");
    }
}

struct Pairs(Vec<(String, String)>);

impl<'kvs> VisitSource<'kvs> for Pairs {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        self.0.push((key.to_string(), value.to_string()));
        Ok(())
    }
}

fn pairs(record: &Record<'_>) -> Vec<(String, String)> {
    let mut pairs = Pairs(vec![]);
    // Collecting into memory does not fail.
    drop(record.key_values().visit(&mut pairs));
    pairs.0
}

/// Quotes what a reader could take for another field or another line.
fn quoted(text: &str) -> String {
    let plain = !text.is_empty() && text.chars().all(|letter| !letter.is_whitespace() && !letter.is_control() && letter != '"');
    if plain { text.to_owned() } else { format!("{text:?}") }
}

fn write_text(out: &mut Formatter, at: &str, record: &Record<'_>) -> std::io::Result<()> {
    write!(out, "at={at} level={} event={}", record.level(), quoted(&record.args().to_string()))?;
    for (key, value) in pairs(record) {
        write!(out, " {key}={}", quoted(&value))?;
    }
    writeln!(out)
}

fn write_json(out: &mut Formatter, at: &str, record: &Record<'_>) -> std::io::Result<()> {
    let mut line = serde_json::Map::new();
    line.insert("at".into(), at.into());
    line.insert("level".into(), record.level().as_str().into());
    line.insert("event".into(), record.args().to_string().into());
    line.extend(pairs(record).into_iter().map(|(key, value)| (key, value.into())));
    writeln!(out, "{}", serde_json::Value::Object(line))
}
