//! Who may import what. The house's rules in a few lines, so that they are rules and not wishes.

use std::fs;
use std::path::{Path, PathBuf};

const SLICES: &[&str] =
    &["accounts", "exports", "files", "imports", "organizations", "plans", "reference", "system", "work_items"];

fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
    found
}

fn source() -> Vec<(PathBuf, String)> {
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
}

/// The code without its tests.
fn code(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or_default()
}

fn is(path: &Path, part: &str) -> bool {
    path.file_name().is_some_and(|name| name == part)
        || path.parent().is_some_and(|folder| folder.ends_with(part.trim_end_matches(".rs")))
}

#[track_caller]
fn none(path: &Path, text: &str, forbidden: &[&str]) {
    for word in forbidden {
        let line = code(text).lines().position(|line| line.contains(word) && !line.trim_start().starts_with("//"));
        assert!(line.is_none(), "{}:{} must not use {word}", path.display(), line.unwrap_or_default() + 1);
    }
}

#[test]
fn rules_are_plain_rust() {
    for (path, text) in source().iter().filter(|(path, _)| is(path, "rules.rs")) {
        none(path, text, &["async fn", "diesel::", "diesel_async", "actix_web", ".await", "schema::"]);
    }
}

#[test]
fn stores_know_no_http_and_open_no_transaction() {
    for (path, text) in source().iter().filter(|(path, _)| is(path, "store.rs")) {
        none(path, text, &["actix_web", "ApiError", "begin_transaction", ".transaction("]);
    }
}

#[test]
fn handlers_know_no_tables() {
    for (path, text) in source().iter().filter(|(path, _)| is(path, "api.rs")) {
        none(path, text, &["schema::", "diesel::sql_query"]);
    }
}

#[test]
fn slices_use_of_one_another_only_what_is_given_out() {
    for (path, text) in source() {
        let own = SLICES.iter().find(|slice| path.components().any(|part| part.as_os_str() == **slice));
        for slice in SLICES.iter().filter(|slice| Some(*slice) != own) {
            if own.is_some() {
                for part in ["api", "rules"] {
                    none(&path, &text, &[&format!("crate::{slice}::{part}")]);
                }
            }
        }
    }
}

#[test]
fn the_floor_stands_on_no_slice() {
    for (path, text) in source() {
        let floor = ["http", "db", "access.rs", "audit", "vault.rs", "clock.rs", "ids.rs"];
        let inside = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap_or(&path);
        if !inside.components().any(|part| floor.iter().any(|name| part.as_os_str() == *name)) {
            continue;
        }
        // The one exception: the gate asks accounts who a token belongs to.
        let allowed = if path.ends_with("http/gate.rs") { &SLICES[1..] } else { SLICES };
        for slice in allowed {
            none(&path, &text, &[&format!("crate::{slice}")]);
        }
    }
}

#[test]
fn rows_are_never_serialized() {
    for (path, text) in source() {
        for derive in code(&text).lines().filter(|line| line.trim_start().starts_with("#[derive(")) {
            let row = derive.contains("Queryable") || derive.contains("Insertable");
            assert!(!(row && derive.contains("Serialize")), "{}: {derive}", path.display());
        }
    }
}

#[test]
fn no_file_has_grown_beyond_a_readers_head() {
    for (path, text) in source() {
        let lines = text.lines().count();
        assert!(lines <= 700 || path.ends_with("schema.rs"), "{} has {lines} lines", path.display());
    }
}
