//! Loads the reference data, slice by slice, where the database holds an older version.

use diesel_async::{AsyncConnection, AsyncPgConnection};
use indicatif::ProgressBar;
use std::collections::HashMap;

use super::store::{self, CalendarRow, DictionaryRow, NewDivision};
use super::{CalendarKind, CodeSystem, DivisionLevel};
use crate::access::{Module, Role};
use crate::db::text_enum::Dictionary;
use crate::{accounts, exports, files, imports, organizations, plans, system, work_items};

const DIVISIONS: &str = include_str!("data/divisions-yueyang.csv");
const CALENDAR: &str = include_str!("data/working-calendar.csv");

/// Version of each slice's reference data; raise it when the data changes.
const VERSIONS: &[(&str, i32)] = &[("divisions", 1), ("dictionaries", 7), ("calendar", 1)];

/// Loads what is missing or older. Returns the slices that were loaded.
pub async fn load(conn: &mut AsyncPgConnection, progress: &ProgressBar) -> Result<Vec<&'static str>, String> {
    let mut loaded = Vec::new();
    progress.set_length(VERSIONS.len() as u64);
    for (slice, version) in VERSIONS {
        progress.set_message(*slice);
        let have = store::loaded_version(conn, "reference", slice).await.map_err(|fault| fault.to_string())?;
        if have.is_none_or(|have| have < *version) {
            let rows = Rows::of(slice)?;
            conn.transaction(async |conn| {
                match &rows {
                    Rows::Divisions(rows) => store::put_divisions(conn, rows).await?,
                    Rows::Dictionaries(rows) => store::put_dictionaries(conn, rows).await?,
                    Rows::Calendar(rows) => store::put_calendar(conn, rows).await?,
                }
                store::set_loaded_version(conn, "reference", slice, *version).await
            })
            .await
            .map_err(|fault: diesel::result::Error| format!("{slice}: {fault}"))?;
            loaded.push(*slice);
        }
        progress.inc(1);
    }
    Ok(loaded)
}

enum Rows {
    Divisions(Vec<NewDivision>),
    Dictionaries(Vec<DictionaryRow>),
    Calendar(Vec<CalendarRow>),
}

impl Rows {
    fn of(slice: &str) -> Result<Self, String> {
        match slice {
            "divisions" => divisions(DIVISIONS).map(Self::Divisions),
            "dictionaries" => Ok(Self::Dictionaries(dictionaries())),
            _ => calendar(CALENDAR).map(Self::Calendar),
        }
    }
}

/// Reads the divisions. Parents stand before their children; the parent of the topmost is outside the data.
pub fn divisions(text: &str) -> Result<Vec<NewDivision>, String> {
    let mut full_names: HashMap<String, String> = HashMap::new();
    let mut rows = Vec::new();
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    for record in reader.deserialize::<(String, String, DivisionLevel, String)>() {
        let (code, name, level, parent) = record.map_err(|fault| fault.to_string())?;
        let above = full_names.get(&parent);
        let full_name = format!("{}{name}", above.map(String::as_str).unwrap_or_default());
        // GB/T 2260 ends at the county; 71 to 80 in its last two digits stand for units that are no divisions by law.
        let statistical = code.len() > 6 || (level == DivisionLevel::County && ("71"..="80").contains(&&code[4..6]));
        rows.push(NewDivision {
            parent_code: above.is_some().then_some(parent),
            code_system: if statistical { CodeSystem::Nbs } else { CodeSystem::Gb2260 },
            full_name: full_name.clone(),
            name,
            level,
            code: code.clone(),
        });
        full_names.insert(code, full_name);
    }
    Ok(rows)
}

const OWN: &[Dictionary] = &[
    ("division_level", DivisionLevel::LABELS),
    ("code_system", CodeSystem::LABELS),
    ("calendar_kind", CalendarKind::LABELS),
    ("role", Role::LABELS),
    ("module", Module::LABELS),
];

/// Every enumeration of the program with its labels.
pub fn enumerations() -> impl Iterator<Item = &'static Dictionary> {
    OWN.iter()
        .chain(accounts::DICTIONARIES)
        .chain(exports::DICTIONARIES)
        .chain(files::DICTIONARIES)
        .chain(imports::DICTIONARIES)
        .chain(organizations::DICTIONARIES)
        .chain(plans::DICTIONARIES)
        .chain(system::DICTIONARIES)
        .chain(work_items::DICTIONARIES)
}

fn dictionaries() -> Vec<DictionaryRow> {
    enumerations()
        .flat_map(|(dictionary, labels)| {
            labels.iter().enumerate().map(|(position, (code, zh, en))| DictionaryRow {
                dictionary: (*dictionary).to_owned(),
                code: (*code).to_owned(),
                position: position as i32,
                label_zh: (*zh).to_owned(),
                label_en: (*en).to_owned(),
            })
        })
        .collect()
}

fn calendar(text: &str) -> Result<Vec<CalendarRow>, String> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    reader
        .deserialize::<(chrono::NaiveDate, CalendarKind, String)>()
        .map(|record| record.map(|(day, kind, name)| CalendarRow { day, kind, name }).map_err(|fault| fault.to_string()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_divisions_of_yueyang_are_complete() {
        let rows = divisions(DIVISIONS).unwrap();
        let count = |level| rows.iter().filter(|row| row.level == level).count();
        assert_eq!(
            [DivisionLevel::City, DivisionLevel::County, DivisionLevel::Township, DivisionLevel::Village].map(count),
            [1, 10, 138, 1899]
        );
        let find = |code: &str| rows.iter().find(|row| row.code == code).unwrap();
        assert_eq!(find("430671").code_system, CodeSystem::Nbs, "屈原 is statistical only");
        assert_eq!(find("430602").code_system, CodeSystem::Gb2260);
        assert_eq!(find("430671101").full_name, "岳阳市岳阳市屈原管理区营田镇");
        assert_eq!(find("430600").parent_code, None, "the province is not in the data");
    }

    #[test]
    fn the_calendar_is_read_whole() {
        let rows = calendar(CALENDAR).unwrap();
        assert_eq!(rows.len(), CALENDAR.lines().count() - 1);
    }
}
