//! `half-sky clock advance`: tells a running demo, over a socket in its folder, to move its clock and run what falls due.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use chrono::TimeDelta;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixListener;
use tokio::sync::watch;

use crate::app::App;
use crate::config::Config;
use crate::jobs;

/// How long a caller may take to say what she wants.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(2);

/// A socket path may hold 107 bytes; a longer one is put aside under a name of its own.
fn socket(data: &Path) -> PathBuf {
    let folder = data.canonicalize().unwrap_or_else(|_| data.to_owned());
    let inside = folder.join("control.sock");
    if inside.as_os_str().len() <= 100 {
        return inside;
    }
    let name = crate::vault::sha256(folder.as_os_str().as_encoded_bytes());
    let name = crate::vault::hex(&name[..8]);
    std::env::temp_dir().join(format!("half-sky-{name}.sock"))
}

/// The command: prints the new domain time.
pub fn advance(config: &Config, by: TimeDelta) -> Result<(), String> {
    let socket = socket(&config.data);
    let ask = || -> std::io::Result<String> {
        let mut stream = UnixStream::connect(&socket)?;
        writeln!(stream, "advance {}", by.num_seconds())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = ask().map_err(|fault| format!("no running demo at {}: {fault}", socket.display()))?;
    match answer.trim().strip_prefix("now ") {
        Some(now) => {
            println!("{now}");
            Ok(())
        }
        None => Err(answer.trim().to_owned()),
    }
}

/// The other end, in a running demo.
pub async fn listen(app: App, data: PathBuf, mut stop: watch::Receiver<bool>) {
    let path = socket(&data);
    drop(std::fs::remove_file(&path));
    let listener = match UnixListener::bind(&path) {
        Ok(listener) => listener,
        Err(fault) => return log::warn!(cause = fault.to_string().as_str(); "the clock cannot be moved"),
    };
    if let Err(fault) = std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)) {
        log::warn!(cause = fault.to_string().as_str(); "the control socket is open to others");
    }
    while !*stop.borrow() {
        tokio::select! {
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                let mut stream = BufReader::new(stream);
                let mut line = String::new();
                // Who says nothing does not keep the others waiting.
                if let Ok(Ok(_)) = tokio::time::timeout(PATIENCE, stream.read_line(&mut line)).await {
                    let answer = answer(&app, line.trim()).await;
                    // Whoever asked may have gone.
                    drop(stream.write_all(answer.as_bytes()).await);
                }
            },
            _ = stop.changed() => {}
        }
    }
    drop(std::fs::remove_file(&path));
}

async fn answer(app: &App, line: &str) -> String {
    let Some(seconds) = line.strip_prefix("advance ").and_then(|text| text.parse().ok()) else {
        return "unknown request\n".to_owned();
    };
    app.clock.advance(TimeDelta::seconds(seconds));
    match jobs::run_due(app).await {
        Ok(()) => format!("now {}\n", app.clock.now().with_timezone(&crate::clock::shanghai()).to_rfc3339()),
        Err(fault) => format!("the clock was moved, but a job failed: {fault}\n"),
    }
}
