//! Committed snapshots: a test compares, `UPDATE_SNAPSHOTS=1 cargo test` refreshes.

use std::fs;
use std::path::Path;

/// The text is that of the committed file.
#[allow(clippy::disallowed_methods)]
#[track_caller]
pub fn assert_snapshot(file: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::write(&path, text).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()));
        return;
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    if committed == text {
        return;
    }
    let differences: Vec<String> = committed
        .lines()
        .zip(text.lines())
        .filter(|(old, new)| old != new)
        .take(5)
        .map(|(old, new)| format!("- {old}\n+ {new}"))
        .collect();
    panic!(
        "{file} is not current ({} lines committed, {} now):\n{}\nIf the change is meant: UPDATE_SNAPSHOTS=1 cargo test, and commit the file.",
        committed.lines().count(),
        text.lines().count(),
        differences.join("\n")
    );
}
