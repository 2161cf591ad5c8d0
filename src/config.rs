//! The only file that reads the environment. Every variable has a line in [`VARIABLES`]; `half-sky config check` prints and
//! validates them all, docs/OPERATIONS.md repeats them.

use std::collections::HashMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use chrono::{DateTime, Utc};
use ipnet::IpNet;

/// One environment variable: name, default (empty: none), what it does.
pub struct Variable {
    /// Name in the environment.
    pub name: &'static str,
    /// Value when it is not set; empty: none.
    pub default: &'static str,
    /// What it does, in one sentence.
    pub doc: &'static str,
}

macro_rules! variables {
    ($($name:ident = $default:literal, $doc:literal;)*) => {
        /// Every variable the service knows.
        pub const VARIABLES: &[Variable] = &[$(Variable { name: stringify!($name), default: $default, doc: $doc }),*];
    };
}

variables! {
    DATABASE_URL = "", "PostgreSQL the service works on; its user is a member of the role half_sky_service. Without it, a private PostgreSQL is started.";
    DATABASE_OWNER_URL = "", "PostgreSQL user that owns the tables and migrates; default: DATABASE_URL.";
    DATABASE_CA_FILE = "", "PEM file with the certificate authority of the database; set it and connections use TLS.";
    MASTER_KEYS = "", "Master keys `id:base64,…` of 32 bytes each; the first encrypts, all decrypt. Required by `serve`.";
    HALF_SKY_HTTP = "127.0.0.1:8080", "Address on which the API is served.";
    HALF_SKY_METRICS = "", "Address on which /metrics is served; without it there are no metrics.";
    HALF_SKY_PUBLIC_URL = "", "Public base URL without a path, the issuer of tokens; default: http://HALF_SKY_HTTP.";
    HALF_SKY_DATA = ".half-sky", "Folder of the private PostgreSQL, the development keys and the demo sign-ins.";
    HALF_SKY_AUDIT_CHECKPOINTS = "", "File outside the database to which this node appends signed checkpoints of the audit trail; default: audit-checkpoints.jsonl in HALF_SKY_DATA.";
    HALF_SKY_FILES = "", "Folder of the uploaded files and of exports, with room for their making; default: HALF_SKY_DATA/files. All nodes need the same one.";
    HALF_SKY_POSTGRES_BIN = "", "Folder with the programs initdb and postgres; default: searched.";
    HALF_SKY_CLOCK = "", "Demo mode only: domain time starts at this instant, e.g. 2019-04-10T09:00:00+08:00.";
    HALF_SKY_WORKERS = "0", "Number of HTTP workers; 0: one per core.";
    HALF_SKY_POOL_SIZE = "8", "Database connections for transactions, 2 to 100.";
    HALF_SKY_REQUEST_SECONDS = "30", "A request that takes longer is answered 504, 1 to 60.";
    HALF_SKY_BODY_BYTES = "1048576", "Largest JSON body, 1024 to 10485760.";
    HALF_SKY_DRAIN_SECONDS = "30", "After SIGTERM running requests get this long, 0 to 300.";
    HALF_SKY_ACCESS_TOKEN_MINUTES = "10", "Life of an access token, 1 to 120.";
    HALF_SKY_IDLE_MINUTES = "30", "A staff session ends when it is not refreshed for so long, 1 to 1440.";
    HALF_SKY_SESSION_HOURS = "12", "A staff session ends after so long in any case, 1 to 168.";
    HALF_SKY_RATE_LIMITS = "principal=600/60,address=300/60,sign_in=20/60", "Rate limits `policy=requests/seconds`.";
    HALF_SKY_RATE_LIMIT_SCALE = "1", "Multiplies every rate limit, 1 to 100000; for load tests.";
    HALF_SKY_CORS_ORIGINS = "", "Comma list of origins that may call from a browser.";
    HALF_SKY_TRUSTED_PROXIES = "", "Comma list of networks whose X-Forwarded-For is believed.";
    HALF_SKY_DOCS = "on", "on or off: Swagger UI and the OpenAPI document.";
    HALF_SKY_LOG = "info", "Log filter as env_logger reads it.";
    HALF_SKY_LOG_FORMAT = "text", "text (key=value) or json.";
}

/// Requests per window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Requests allowed in a window.
    pub requests: u32,
    /// Length of the window.
    pub window: Duration,
}

/// What the environment says, checked.
#[derive(Clone)]
pub struct Config {
    /// `DATABASE_URL`
    pub database_url: Option<String>,
    /// `DATABASE_OWNER_URL`
    pub owner_url: Option<String>,
    /// `DATABASE_CA_FILE`
    pub database_ca: Option<PathBuf>,
    /// `MASTER_KEYS`: id and key, the first encrypts.
    pub master_keys: Vec<(String, [u8; 32])>,
    /// `HALF_SKY_HTTP`
    pub http: SocketAddr,
    /// `HALF_SKY_METRICS`
    pub metrics: Option<SocketAddr>,
    /// `HALF_SKY_PUBLIC_URL`
    pub public_url: String,
    /// `HALF_SKY_DATA`
    pub data: PathBuf,
    /// `HALF_SKY_AUDIT_CHECKPOINTS`
    pub audit_checkpoints: Option<PathBuf>,
    /// `HALF_SKY_FILES`
    pub files: PathBuf,
    /// `HALF_SKY_POSTGRES_BIN`
    pub postgres_bin: Option<PathBuf>,
    /// `PATH`, where programs are searched.
    pub path: Option<OsString>,
    /// `HALF_SKY_CLOCK`
    pub clock: Option<DateTime<Utc>>,
    /// `HALF_SKY_WORKERS`
    pub workers: usize,
    /// `HALF_SKY_POOL_SIZE`
    pub pool_size: usize,
    /// `HALF_SKY_REQUEST_SECONDS`
    pub request_timeout: Duration,
    /// `HALF_SKY_BODY_BYTES`
    pub body_limit: usize,
    /// `HALF_SKY_DRAIN_SECONDS`
    pub drain: Duration,
    /// `HALF_SKY_ACCESS_TOKEN_MINUTES`
    pub access_token_life: Duration,
    /// `HALF_SKY_IDLE_MINUTES`
    pub session_idle: Duration,
    /// `HALF_SKY_SESSION_HOURS`
    pub session_life: Duration,
    /// `HALF_SKY_RATE_LIMITS`, scaled: policy name and rate.
    pub rate_limits: Vec<(String, Rate)>,
    /// `HALF_SKY_CORS_ORIGINS`
    pub cors_origins: Vec<String>,
    /// `HALF_SKY_TRUSTED_PROXIES`
    pub trusted_proxies: Vec<IpNet>,
    /// `HALF_SKY_DOCS`
    pub docs: bool,
    /// `HALF_SKY_LOG`
    pub log: String,
    /// `HALF_SKY_LOG_FORMAT` is json.
    pub log_json: bool,
    /// Cheap argon2 parameters; set by tests only, never from the environment.
    pub cheap_passwords: bool,
}

impl Config {
    /// Reads the process's environment. All faults are reported at once.
    #[allow(clippy::disallowed_methods)]
    pub fn from_env() -> Result<Self, Vec<String>> {
        let mut set: HashMap<String, String> = HashMap::new();
        for variable in VARIABLES {
            if let Ok(value) = std::env::var(variable.name) {
                set.insert(variable.name.to_owned(), value);
            }
        }
        let mut faults: Vec<String> = std::env::vars_os()
            .filter_map(|(name, _)| name.into_string().ok())
            .filter(|name| name.starts_with("HALF_SKY_") && VARIABLES.iter().all(|known| known.name != name))
            .map(|name| format!("{name}: unknown variable"))
            .collect();
        match Self::from_values(&set) {
            Ok(config) if faults.is_empty() => Ok(Self { path: std::env::var_os("PATH"), ..config }),
            Ok(_) => Err(faults),
            Err(more) => {
                faults.extend(more);
                Err(faults)
            }
        }
    }

    /// Checks a set of values; tests build theirs this way.
    pub fn from_values(set: &HashMap<String, String>) -> Result<Self, Vec<String>> {
        let mut read = Reader { set, faults: Vec::new() };
        let http: SocketAddr = read.parsed("HALF_SKY_HTTP").unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8080)));
        let scale = read.number("HALF_SKY_RATE_LIMIT_SCALE", 1, 100_000);
        let data = read.text("HALF_SKY_DATA").map(PathBuf::from).unwrap_or_default();
        let config = Self {
            database_url: read.text("DATABASE_URL"),
            owner_url: read.text("DATABASE_OWNER_URL"),
            database_ca: read.text("DATABASE_CA_FILE").map(PathBuf::from),
            master_keys: read.list("MASTER_KEYS", master_key),
            http,
            metrics: read.parsed("HALF_SKY_METRICS"),
            public_url: read.text("HALF_SKY_PUBLIC_URL").unwrap_or_else(|| format!("http://{http}")),
            files: read.text("HALF_SKY_FILES").map_or_else(|| data.join("files"), PathBuf::from),
            audit_checkpoints: read.text("HALF_SKY_AUDIT_CHECKPOINTS").map(PathBuf::from),
            data,
            postgres_bin: read.text("HALF_SKY_POSTGRES_BIN").map(PathBuf::from),
            path: None,
            clock: read.parsed::<DateTime<chrono::FixedOffset>>("HALF_SKY_CLOCK").map(|at| at.to_utc()),
            workers: read.number("HALF_SKY_WORKERS", 0, 64) as usize,
            pool_size: read.number("HALF_SKY_POOL_SIZE", 2, 100) as usize,
            request_timeout: Duration::from_secs(read.number("HALF_SKY_REQUEST_SECONDS", 1, 60)),
            body_limit: read.number("HALF_SKY_BODY_BYTES", 1024, 10 << 20) as usize,
            drain: Duration::from_secs(read.number("HALF_SKY_DRAIN_SECONDS", 0, 300)),
            access_token_life: Duration::from_secs(60 * read.number("HALF_SKY_ACCESS_TOKEN_MINUTES", 1, 120)),
            session_idle: Duration::from_secs(60 * read.number("HALF_SKY_IDLE_MINUTES", 1, 1440)),
            session_life: Duration::from_secs(3600 * read.number("HALF_SKY_SESSION_HOURS", 1, 168)),
            rate_limits: read.list("HALF_SKY_RATE_LIMITS", |text| rate(text, scale as u32)),
            cors_origins: read.list("HALF_SKY_CORS_ORIGINS", |text| Ok(text.to_owned())),
            trusted_proxies: read.list("HALF_SKY_TRUSTED_PROXIES", |text| text.parse().map_err(|e| format!("{e}"))),
            docs: read.choice("HALF_SKY_DOCS", &["on", "off"]) == "on",
            log: read.text("HALF_SKY_LOG").unwrap_or_default(),
            log_json: read.choice("HALF_SKY_LOG_FORMAT", &["text", "json"]) == "json",
            cheap_passwords: false,
        };
        for policy in ["principal", "address", "sign_in"] {
            if config.rate_limits.iter().all(|(name, _)| name != policy) {
                read.fault("HALF_SKY_RATE_LIMITS", format!("policy {policy} is missing"));
            }
        }
        if read.faults.is_empty() { Ok(config) } else { Err(read.faults) }
    }

    /// The file of signed checkpoints.
    pub fn checkpoint_file(&self) -> PathBuf {
        self.audit_checkpoints.clone().unwrap_or_else(|| self.data.join("audit-checkpoints.jsonl"))
    }

    /// What `serve` does without, but should not.
    pub fn production_warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.audit_checkpoints.is_none() {
            let file = self.checkpoint_file().display().to_string();
            warnings.push(format!(
                "HALF_SKY_AUDIT_CHECKPOINTS: not set; checkpoints of the audit trail go to {file}. Name a file that outlives this \
                 machine and that nobody who may change the database can change"
            ));
        }
        warnings
    }

    /// What `serve` refuses to start without.
    pub fn production_faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.database_url.is_none() {
            faults.push("DATABASE_URL: required in production".to_owned());
        }
        if self.master_keys.is_empty() {
            faults.push("MASTER_KEYS: required in production; make one with `openssl rand -base64 32`".to_owned());
        }
        if self.clock.is_some() {
            faults.push("HALF_SKY_CLOCK: only demo mode can move the clock".to_owned());
        }
        if !self.public_url.starts_with("https://") && !self.http.ip().is_loopback() {
            faults.push("HALF_SKY_PUBLIC_URL: must be the https address that clients use".to_owned());
        }
        faults
    }
}

struct Reader<'a> {
    set: &'a HashMap<String, String>,
    faults: Vec<String>,
}

impl Reader<'_> {
    fn fault(&mut self, name: &str, message: impl std::fmt::Display) {
        self.faults.push(format!("{name}: {message}"));
    }

    fn text(&self, name: &str) -> Option<String> {
        let default = VARIABLES.iter().find(|known| known.name == name).expect("every variable is listed").default;
        let value = self.set.get(name).map_or(default, String::as_str).trim();
        (!value.is_empty()).then(|| value.to_owned())
    }

    fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(&mut self, name: &str) -> Option<T> {
        let text = self.text(name)?;
        text.parse().map_err(|fault| self.fault(name, format_args!("{text:?}: {fault}"))).ok()
    }

    fn number(&mut self, name: &str, least: u64, most: u64) -> u64 {
        let number = self.parsed(name).unwrap_or(least);
        if !(least..=most).contains(&number) {
            self.fault(name, format_args!("{number} is not between {least} and {most}"));
        }
        number
    }

    fn choice(&mut self, name: &str, choices: &[&str]) -> String {
        let text = self.text(name).unwrap_or_default();
        if !choices.contains(&text.as_str()) {
            self.fault(name, format_args!("{text:?} is none of {choices:?}"));
        }
        text
    }

    /// Faults name the position, never the text: some lists hold secrets.
    fn list<T>(&mut self, name: &str, item: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
        let text = self.text(name).unwrap_or_default();
        let mut items = Vec::new();
        for (index, part) in text.split(',').map(str::trim).filter(|part| !part.is_empty()).enumerate() {
            match item(part) {
                Ok(item) => items.push(item),
                Err(fault) => self.fault(name, format_args!("item {}: {fault}", index + 1)),
            }
        }
        items
    }
}

fn master_key(text: &str) -> Result<(String, [u8; 32]), String> {
    let (id, key) = text.split_once(':').ok_or("expected id:base64")?;
    let key = BASE64_STANDARD.decode(key).map_err(|_| "the key is not base64")?;
    let key = key.try_into().map_err(|_| "the key must have 32 bytes")?;
    Ok((id.to_owned(), key))
}

fn rate(text: &str, scale: u32) -> Result<(String, Rate), String> {
    let parsed = || {
        let (name, rate) = text.split_once('=')?;
        let (requests, seconds) = rate.split_once('/')?;
        let (requests, seconds) = (requests.parse::<u32>().ok()?, seconds.parse::<u64>().ok()?);
        (requests > 0 && seconds > 0)
            .then(|| (name.to_owned(), Rate { requests: requests.saturating_mul(scale), window: Duration::from_secs(seconds) }))
    };
    parsed().ok_or_else(|| "expected policy=requests/seconds".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(pairs: &[(&str, &str)]) -> HashMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn nothing_set_is_a_valid_development_configuration() {
        let config = Config::from_values(&values(&[])).unwrap_or_else(|faults| panic!("{faults:?}"));
        assert_eq!(config.http.port(), 8080);
        assert_eq!(config.production_faults().len(), 2, "no database and no keys");
    }

    #[test]
    fn every_fault_is_reported_at_once_and_no_secret_is_repeated() {
        let faults = Config::from_values(&values(&[
            ("HALF_SKY_HTTP", "nowhere"),
            ("MASTER_KEYS", "k1:c2hvcnQ="),
            ("HALF_SKY_POOL_SIZE", "1000"),
            ("HALF_SKY_RATE_LIMITS", "principal=1/1"),
        ]))
        .err()
        .unwrap_or_default();
        assert_eq!(faults.len(), 5, "{faults:?}");
        assert!(!faults.concat().contains("c2hvcnQ"));
    }
}
