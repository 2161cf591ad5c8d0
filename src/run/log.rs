//! Log lines: key=value or JSON, one per event, without personal data.

use std::borrow::Cow;
use std::io::{BufWriter, Write, stderr};
use std::time::Duration;

use env_logger::Target;
use env_logger::fmt::Formatter;
use log::Record;
use log::kv::{Error, Key, Value, VisitSource};
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};

use crate::clock::Clock;
use crate::config::Config;

/// Lines that may wait for the writing thread; who logs more waits herself.
const WAITING: usize = 8_192;
/// How long lines gather: a thread that is awake needs no waking for each of them.
const GATHERING: Duration = Duration::from_millis(10);

/// Rests after it has written everything there was.
struct Unhurried<W>(W);

impl<W: Write> Write for Unhurried<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()?;
        std::thread::sleep(GATHERING);
        Ok(())
    }
}

/// Starts logging to standard error. A thread of its own writes, as many lines at once as are there: no request waits for the
/// terminal or for another's line, and none is left out. The guard, when it is dropped, waits for the last lines, but not longer than
/// 1.1 seconds: what a terminal does not take until then is lost.
pub fn start(config: &Config) -> WorkerGuard {
    let json = config.log_json;
    let clock = Clock::system();
    let (lines, guard) =
        NonBlockingBuilder::default().lossy(false).buffered_lines_limit(WAITING).finish(Unhurried(BufWriter::new(stderr())));
    let started = env_logger::Builder::new()
        .parse_filters(&config.log)
        .target(Target::Pipe(Box::new(lines)))
        .format(move |out, record| {
            let at = clock.wall().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
            if json { write_json(out, &at, record) } else { write_text(out, &at, record) }
        })
        .try_init();
    if let Err(fault) = started {
        eprintln!("half-sky: logging was started before: {fault}");
    }
    guard
}

/// Hands on every pair of a record.
struct Pairs<F>(F);

impl<'kvs, F: FnMut(Key<'kvs>, Value<'kvs>) -> std::io::Result<()>> VisitSource<'kvs> for Pairs<F> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        (self.0)(key, value).map_err(Error::boxed)
    }
}

/// Quotes what a reader could take for another field or another line.
fn quoted(text: &str) -> Cow<'_, str> {
    let plain = !text.is_empty() && text.chars().all(|letter| !letter.is_whitespace() && !letter.is_control() && letter != '"');
    if plain { text.into() } else { format!("{text:?}").into() }
}

fn write_text(out: &mut Formatter, at: &str, record: &Record<'_>) -> std::io::Result<()> {
    write!(out, "at={at} level={} event={}", record.level(), quoted(&text(record)))?;
    let mut pairs = Pairs(|key: Key<'_>, value: Value<'_>| match value.to_borrowed_str() {
        Some(value) => write!(out, " {key}={}", quoted(value)),
        None => write!(out, " {key}={}", quoted(&value.to_string())),
    });
    record.key_values().visit(&mut pairs).map_err(std::io::Error::other)?;
    writeln!(out)
}

fn write_json(out: &mut Formatter, at: &str, record: &Record<'_>) -> std::io::Result<()> {
    let mut line = serde_json::Map::new();
    line.insert("at".into(), at.into());
    line.insert("level".into(), record.level().as_str().into());
    line.insert("event".into(), text(record).into());
    let mut pairs = Pairs(|key: Key<'_>, value: Value<'_>| {
        line.insert(key.to_string(), value.to_string().into());
        Ok(())
    });
    record.key_values().visit(&mut pairs).map_err(std::io::Error::other)?;
    writeln!(out, "{}", serde_json::Value::Object(line))
}

fn text<'a>(record: &Record<'a>) -> Cow<'a, str> {
    record.args().as_str().map_or_else(|| record.args().to_string().into(), Cow::Borrowed)
}
