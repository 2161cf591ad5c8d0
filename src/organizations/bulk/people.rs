//! People from a table: known ones are found by id, identity number, or telephone and name.

use std::collections::HashMap;

use chrono::NaiveDate;
use diesel::QueryResult;
use diesel_async::AsyncPgConnection;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Tree, missing, repeated, taken};
use crate::access::{Permission, Scope};
use crate::audit::Change;
use crate::http::FieldError;
use crate::ids::{OrganizationId, PersonId};
use crate::imports::{Cells, Column, Halt, ImportKind, Kind, Row, Shape, Work, body_faults};
use crate::organizations::api::Faults;
use crate::organizations::api::people::{SealedNumbers, agree, seal_numbers};
use crate::organizations::rules::{PersonStatus, Sex};
use crate::organizations::store::bulk as store;
use crate::organizations::store::people::{Person, insert_many};
use crate::organizations::store::person_matches::{self, MatchedBy, PersonCandidate, PersonMatch};

/// People as a kind of import.
pub const PEOPLE: Kind = Kind {
    kind: ImportKind::People,
    list: "people",
    columns: COLUMNS,
    permission: Permission::PersonWrite,
    gives_access: false,
    reads: Permission::PersonRead,
    check,
    run: |work| run(work).boxed(),
    shown,
};

const COLUMNS: &[Column] = &[
    Column::new("id", "ID", Shape::Id, "系统编号；新人员留空"),
    Column::new("organization_id", "组织 ID", Shape::Id, "组织三列填一列即可"),
    Column::new("organization_code", "组织代码", Shape::Code, "所在组织的区划代码"),
    Column::new("organization_path", "组织全路径", Shape::Text, "如：岳阳市妇联/岳阳楼区妇联"),
    Column::new("name", "姓名", Shape::Text, "与身份证一致，不超过 64 字").required(),
    Column::new("sex", "性别", Shape::Choice(Sex::LABELS), "填写身份证号后可不填"),
    Column::new("birth_year", "出生年份", Shape::Integer, "填写身份证号后可不填"),
    Column::new("phone", "电话", Shape::Code, "手机或带区号的固定电话；原样保留的掩码号码不变").personal(),
    Column::new("id_number", "身份证号", Shape::Code, "18 位，以文本填写；原样保留的掩码号码不变").personal(),
    Column::new("tags", "标签", Shape::List, "多个标签用逗号分隔，最多 20 个"),
];

/// A number that was sent back as it was shown.
fn is_masked(number: &str) -> bool {
    number.contains('*')
}

/// The bounds of `POST /people`, and what one row alone tells.
fn check(cells: &Cells, _: NaiveDate) -> Vec<FieldError> {
    let mut body = Map::new();
    body.insert("organization_id".to_owned(), json!(Uuid::nil()));
    body.insert("name".to_owned(), json!(cells.text("name").unwrap_or("—")));
    for field in ["sex", "birth_year"] {
        body.insert(field.to_owned(), cells.json(field));
    }
    for field in ["phone", "id_number"] {
        body.insert(field.to_owned(), cells.text(field).filter(|number| !is_masked(number)).map_or(Value::Null, Value::from));
    }
    body.insert("tags".to_owned(), json!(cells.list("tags")));
    body_faults("create_person", &Value::Object(body))
}

/// A row with what it says of numbers.
struct Said {
    row: Row,
    organization_id: Option<OrganizationId>,
    numbers: SealedNumbers,
    sex: Option<Sex>,
    birth_year: Option<i16>,
}

/// Whom a row is about.
struct Matched {
    /// Her record; none: she is new.
    person: Option<Person>,
    /// The row names her by id, and its identity number is that of somebody else: whether she is kept below the place.
    number_of_another: Option<bool>,
}

/// What earlier rows have said, by what two rows may not share.
#[derive(Default)]
struct Earlier {
    numbers: HashMap<Vec<u8>, i32>,
    people: HashMap<PersonId, i32>,
    /// New people by telephone and name.
    new: HashMap<(Vec<u8>, String), Vec<NewOne>>,
}

/// A new person of an earlier row, by what could contradict.
struct NewOne {
    number: i32,
    id_number_hash: Option<Vec<u8>>,
    sex: Option<Sex>,
    birth_year: Option<i16>,
}

impl Earlier {
    /// The row that brought the same person, found as [`person_matches::find`] finds records; else notes that this one does.
    fn same_new(&mut self, said: &Said) -> Option<i32> {
        fn agrees<T: PartialEq>(one: &Option<T>, other: &Option<T>) -> bool {
            one.is_none() || other.is_none() || one == other
        }
        let (numbers, name) = (&said.numbers, said.row.cells.text("name").unwrap_or_default());
        let known = self.new.entry((numbers.phone_hash.clone()?, name.to_owned())).or_default();
        let same = known.iter().find(|one| {
            agrees(&one.id_number_hash, &numbers.id_number_hash)
                && agrees(&one.sex, &said.sex)
                && agrees(&one.birth_year, &said.birth_year)
        });
        if let Some(same) = same {
            return Some(same.number);
        }
        let (number, id_number_hash) = (said.row.number, numbers.id_number_hash.clone());
        known.push(NewOne { number, id_number_hash, sex: said.sex, birth_year: said.birth_year });
        None
    }
}

async fn run(work: &mut Work) -> Result<(), Halt> {
    let place = work.place();
    if work.write {
        person_matches::lock_all(work.conn()).await?;
    }
    let tree = Tree::load(work.conn(), place).await?;
    let mut earlier = Earlier::default();
    while let Some(rows) = work.rows(true).await? {
        let said: Vec<Said> = rows.into_iter().filter(|row| !row.faulty).filter_map(|row| said(work, &tree, row)).collect();
        write(work, &tree, said, &mut earlier).await?;
    }
    Ok(())
}

/// Reads the numbers of a row; none: something is wrong with it.
fn said(work: &mut Work, tree: &Tree, row: Row) -> Option<Said> {
    let vault = work.app.vault.clone();
    let number = |field| row.cells.text(field).filter(|number| !is_masked(number));
    let mut faults = Faults::default();
    let mut all = Vec::new();
    let numbers = seal_numbers(&vault, number("phone"), number("id_number"), work.today()).unwrap_or_else(|more| {
        all.extend(more);
        SealedNumbers::default()
    });
    let birth_year = row.cells.number("birth_year").map(|year| year as i16);
    let (sex, birth_year) = agree(&mut faults, &numbers, row.cells.parsed("sex"), birth_year);
    all.extend(faults.into_inner());
    let organization_id = tree.named(&row.cells).unwrap_or_else(|fault| {
        all.push(*fault);
        None
    });
    if all.is_empty() {
        return Some(Said { row, organization_id, numbers, sex, birth_year });
    }
    all.into_iter().for_each(|fault| work.fault(&row, fault));
    None
}

/// Finds out whom the rows are about: by her id, else as whoever brings people finds her ([`person_matches::find`]). Somebody who is
/// kept elsewhere is found by her identity number only.
async fn matched(work: &mut Work, tree: &Tree, rows: &[Said]) -> Result<Vec<Matched>, Halt> {
    let candidate = |said: &Said| PersonCandidate {
        name: said.row.cells.text("name").unwrap_or_default().to_owned(),
        phone_hash: said.numbers.phone_hash.clone(),
        id_number_hash: said.numbers.id_number_hash.clone(),
        sex: said.sex,
        birth_year: said.birth_year,
    };
    let candidates: Vec<PersonCandidate> = rows.iter().map(candidate).collect();
    let (scope, today) = (Scope::below(work.place()), work.today());
    let found = person_matches::find(work.conn(), &scope, today, &candidates).await?;
    let named = |said: &Said| said.row.cells.parsed::<Uuid>("id").map(PersonId);
    let ids: Vec<PersonId> = rows.iter().filter_map(named).chain(found.iter().flatten().map(|found| found.id)).collect();
    let people = store::people_by_id(work.conn(), &ids).await?;
    let active = people.into_iter().filter(|person| person.status == PersonStatus::Active);
    let people: HashMap<PersonId, Person> = active.map(|person| (person.id, person)).collect();
    let record = |id: PersonId| people.get(&id);
    let find = |(said, found): (&Said, &Option<PersonMatch>)| {
        let like = found.as_ref().and_then(|found| {
            let person = record(found.id)?;
            (found.by == MatchedBy::IdNumber || tree.nodes.contains_key(&person.organization_id)).then_some(person)
        });
        let by_id = named(said).and_then(record);
        let numbered = found.as_ref().filter(|found| found.by == MatchedBy::IdNumber).map(|found| found.id);
        let another = numbered.filter(|id| by_id.is_some_and(|by_id| by_id.id != *id));
        let here = |id: PersonId| record(id).is_some_and(|person| tree.nodes.contains_key(&person.organization_id));
        Matched { number_of_another: another.map(here), person: by_id.or(like).cloned() }
    };
    Ok(rows.iter().zip(&found).map(find).collect())
}

async fn write(work: &mut Work, tree: &Tree, rows: Vec<Said>, earlier: &mut Earlier) -> Result<(), Halt> {
    let mut matched = matched(work, tree, &rows).await?;
    if work.write {
        let ids: Vec<PersonId> = matched.iter().filter_map(|matched| Some(matched.person.as_ref()?.id)).collect();
        let locked = store::lock_people(work.conn(), &ids).await?;
        let locked: HashMap<PersonId, Person> = locked.into_iter().map(|person| (person.id, person)).collect();
        for person in matched.iter_mut().filter_map(|matched| matched.person.as_mut()) {
            *person = locked.get(&person.id).cloned().ok_or(Halt::Moved)?;
        }
    }
    let now = work.now();
    let (mut new, mut changed, mut entries) = (Vec::new(), Vec::new(), Vec::new());
    for (said, matched) in rows.iter().zip(matched) {
        let row = &said.row;
        match conflict(tree, said, &matched, earlier) {
            None => {}
            Some(Conflict::Told(fault)) => {
                work.fault(row, fault);
                continue;
            }
            Some(Conflict::KeptElsewhere) => {
                work.fault_kept_elsewhere(row, taken("/id_number"));
                continue;
            }
        }
        let before = matched.person;
        let Some(organization_id) = said.organization_id.or(before.as_ref().map(|before| before.organization_id)) else {
            work.fault(row, missing());
            continue;
        };
        match before {
            None => {
                // A number that is shown masked belongs to somebody who is known.
                let shown = ["phone", "id_number"].into_iter().filter(|field| row.cells.text(field).is_some_and(is_masked));
                let masked: Vec<FieldError> = shown.map(|field| unlike(&format!("/{field}"))).collect();
                if !masked.is_empty() {
                    masked.into_iter().for_each(|fault| work.fault(row, fault));
                    continue;
                }
                if let Some(first) = earlier.same_new(said) {
                    work.fault(row, repeated("/phone", first));
                    continue;
                }
                work.count_new();
                let person = Person { created_at: now, updated_at: now, ..fresh(said, organization_id) };
                entries.push(change("person.created", &person).after(&told_of(&person)));
                new.push(person);
            }
            Some(before) => match edited(said, organization_id, &before) {
                Err(fault) => work.fault(row, *fault),
                Ok(after) => {
                    let same = is_same(&before, &after);
                    work.count_known(!same);
                    if !same {
                        entries.push(change("person.changed", &after).before(&told_of(&before)).after(&told_of(&after)));
                        changed.push(after);
                    }
                }
            },
        }
    }
    if work.writes() {
        if insert_many(work.conn(), &new).await? != new.len() {
            return Err(Halt::Moved);
        }
        store::update_people(work.conn(), &changed, now).await?;
        let written: Vec<PersonId> = new.iter().chain(&changed).map(|person| person.id).collect();
        person_matches::suggest(work.conn(), &written, now).await?;
        work.record(entries).await?;
    }
    Ok(())
}

fn change(action: &'static str, person: &Person) -> Change {
    Change::of(action, "person", person.id, person.organization_id)
}

/// What the audit trail keeps of a person: numbers masked.
fn told_of(person: &Person) -> Value {
    json!({
        "organization_id": person.organization_id, "name": person.name, "sex": person.sex, "birth_year": person.birth_year,
        "phone": person.phone_masked, "id_number": person.id_number_masked, "tags": person.tags,
    })
}

/// What stands in the way of a row.
enum Conflict {
    /// A fault of the row.
    Told(FieldError),
    /// Her identity number is in a record elsewhere.
    KeptElsewhere,
}

/// What stands in the way: her record is kept elsewhere, her number is another's, or another row says the same.
fn conflict(tree: &Tree, said: &Said, matched: &Matched, earlier: &mut Earlier) -> Option<Conflict> {
    let (row, before) = (&said.row, matched.person.as_ref());
    let told = |fault| Some(Conflict::Told(fault));
    if let Some(before) = before.filter(|before| !tree.nodes.contains_key(&before.organization_id)) {
        // Whose it is elsewhere is not told; that the number is known is, as the single command does.
        let by_id = row.cells.parsed::<Uuid>("id") == Some(before.id.0);
        let by_number = before.id_number_hash.is_some() && before.id_number_hash == said.numbers.id_number_hash;
        return match (by_number, by_id) {
            (true, _) => Some(Conflict::KeptElsewhere),
            (false, true) => told(FieldError::unknown_reference("/id")),
            (false, false) => None,
        };
    }
    if before.is_none() && row.cells.text("id").is_some() {
        return told(FieldError::unknown_reference("/id"));
    }
    match matched.number_of_another {
        Some(true) => return told(taken("/id_number")),
        Some(false) => return Some(Conflict::KeptElsewhere),
        None => {}
    }
    if let Some(hash) = &said.numbers.id_number_hash {
        let first = *earlier.numbers.entry(hash.clone()).or_insert(row.number);
        if first != row.number {
            return told(repeated("/id_number", first));
        }
    }
    let first = before.map(|before| *earlier.people.entry(before.id).or_insert(row.number));
    first.filter(|first| *first != row.number).and_then(|first| told(repeated("/name", first)))
}

fn fresh(said: &Said, organization_id: OrganizationId) -> Person {
    let numbers = &said.numbers;
    Person {
        id: PersonId::generate(),
        organization_id,
        name: said.row.cells.text("name").unwrap_or_default().to_owned(),
        sex: said.sex,
        birth_year: said.birth_year,
        phone: numbers.phone.clone(),
        phone_hash: numbers.phone_hash.clone(),
        phone_masked: numbers.phone_masked.clone(),
        id_number: numbers.id_number.clone(),
        id_number_hash: numbers.id_number_hash.clone(),
        id_number_masked: numbers.id_number_masked.clone(),
        tags: said.row.cells.list("tags"),
        status: PersonStatus::Active,
        merged_into_id: None,
        version: 1,
        created_at: chrono::DateTime::UNIX_EPOCH,
        updated_at: chrono::DateTime::UNIX_EPOCH,
    }
}

/// What a row makes of a record. What the table has no column for stays, and so does a number that is shown masked.
fn edited(said: &Said, organization_id: OrganizationId, before: &Person) -> Result<Person, Box<FieldError>> {
    let cells = &said.row.cells;
    let made = fresh(said, organization_id);
    let mut after = Person { organization_id, name: made.name, ..before.clone() };
    match cells.text("phone").filter(|number| is_masked(number)) {
        Some(masked) if Some(masked) != before.phone_masked.as_deref() => return Err(unlike("/phone").into()),
        Some(_) => {}
        None if cells.has("phone") && made.phone_hash != before.phone_hash => {
            (after.phone, after.phone_hash, after.phone_masked) = (made.phone, made.phone_hash, made.phone_masked);
        }
        None => {}
    }
    match cells.text("id_number").filter(|number| is_masked(number)) {
        Some(masked) if Some(masked) != before.id_number_masked.as_deref() => return Err(unlike("/id_number").into()),
        Some(_) => {}
        None if cells.has("id_number") && made.id_number_hash != before.id_number_hash => {
            (after.id_number, after.id_number_hash, after.id_number_masked) =
                (made.id_number, made.id_number_hash, made.id_number_masked);
        }
        None => {}
    }
    // Sex and year of birth of a known identity number follow from it and stay.
    let fixed = after.id_number_hash.is_some() && said.numbers.id_number_hash.is_none();
    let disagrees = |field| FieldError::at(field, "disagrees", "与身份证号码不一致", "disagrees with the identity number");
    if fixed && said.sex.is_some_and(|sex| Some(sex) != before.sex) {
        return Err(disagrees("/sex").into());
    }
    if fixed && said.birth_year.is_some_and(|year| Some(year) != before.birth_year) {
        return Err(disagrees("/birth_year").into());
    }
    if !fixed && (cells.has("sex") || said.sex.is_some()) {
        after.sex = said.sex;
    }
    if !fixed && (cells.has("birth_year") || said.birth_year.is_some()) {
        after.birth_year = said.birth_year;
    }
    if cells.has("tags") {
        after.tags = made.tags;
    }
    Ok(after)
}

fn unlike(pointer: &str) -> FieldError {
    let (zh, en) = ("掩码号码与现有号码不符，请填写完整号码", "is masked and not the number there is; give all of it");
    FieldError::at(pointer, "masked", zh, en)
}

fn is_same(one: &Person, other: &Person) -> bool {
    let facts = |row: &Person| (row.organization_id, row.name.clone(), row.sex, row.birth_year, row.tags.clone());
    let numbers = |row: &Person| (row.phone_hash.clone(), row.id_number_hash.clone());
    facts(one) == facts(other) && numbers(one) == numbers(other)
}

fn shown<'a>(conn: &'a AsyncPgConnection, place: OrganizationId, _: NaiveDate) -> BoxFuture<'a, QueryResult<Vec<Cells>>> {
    async move {
        let tree = Tree::load(conn, place).await?;
        let rows = store::people_below(conn, place).await?;
        let cells = rows.into_iter().map(|row| {
            let value = json!({
                "id": row.id, "organization_id": row.organization_id, "organization_path": tree.path(row.organization_id),
                "name": row.name, "sex": row.sex, "birth_year": row.birth_year, "phone": row.phone_masked,
                "id_number": row.id_number_masked, "tags": row.tags,
            });
            Cells(value.as_object().cloned().unwrap_or_default())
        });
        Ok(cells.collect())
    }
    .boxed()
}
