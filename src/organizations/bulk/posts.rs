//! Posts from a table: who holds which position where. Persons are named by id, identity number, or name and telephone.

use std::collections::HashMap;

use chrono::NaiveDate;
use diesel::QueryResult;
use diesel_async::AsyncPgConnection;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Tree, missing, repeated};
use crate::access::{Permission, Scope};
use crate::audit::Change;
use crate::http::FieldError;
use crate::ids::{OrganizationId, PersonId, PostId};
use crate::imports::{Cells, Column, Halt, ImportKind, Kind, Row, Shape, Work, body_faults};
use crate::organizations::api::people::seal_numbers;
use crate::organizations::rules::{EmploymentMode, PersonStatus, PostPosition, Secondment};
use crate::organizations::store::bulk as store;
use crate::organizations::store::people::{Person, hold_all};
use crate::organizations::store::posts::{Post, insert_many};
use crate::work_items::{self, POST_EXPIRING};

/// Posts as a kind of import.
pub const POSTS: Kind = Kind {
    kind: ImportKind::Posts,
    list: "posts",
    columns: COLUMNS,
    permission: Permission::PostWrite,
    gives_access: false,
    reads: Permission::PostRead,
    check,
    run: |work| run(work).boxed(),
    shown,
};

const COLUMNS: &[Column] = &[
    Column::new("id", "ID", Shape::Id, "系统编号；新职务留空"),
    Column::new("organization_id", "组织 ID", Shape::Id, "组织三列填一列即可"),
    Column::new("organization_code", "组织代码", Shape::Code, "所在组织的区划代码"),
    Column::new("organization_path", "组织全路径", Shape::Text, "如：岳阳市妇联/岳阳楼区妇联"),
    Column::new("person_id", "人员 ID", Shape::Id, "人员：填 ID，或身份证号，或姓名加电话"),
    Column::new("person_name", "姓名", Shape::Text, "与电话同时填写"),
    Column::new("phone", "电话", Shape::Code, "完整号码").personal(),
    Column::new("id_number", "身份证号", Shape::Code, "完整号码，以文本填写").personal(),
    Column::new("position", "职务", Shape::Choice(PostPosition::LABELS), "同一组织同一时间只有一位主席").required(),
    Column::new("employment_mode", "任职方式", Shape::Choice(EmploymentMode::LABELS), "专职、兼职或挂职").required(),
    Column::new("secondment", "挂职", Shape::Choice(Secondment::LABELS), "上挂或下派"),
    Column::new("from_on", "起始日期", Shape::Date, "任职第一天").required(),
    Column::new("to_on", "截止日期", Shape::Date, "任职最后一天；未定留空"),
    Column::new("appointed_by", "任命文件", Shape::Text, "选举或任命的会议、文件"),
];

/// The bounds of `POST /posts`, and what one row alone tells.
fn check(cells: &Cells, _: NaiveDate) -> Vec<FieldError> {
    let mut body = Map::new();
    for field in ["organization_id", "person_id"] {
        body.insert(field.to_owned(), json!(Uuid::nil()));
    }
    let or = |field, placeholder: &str| json!(cells.text(field).unwrap_or(placeholder));
    body.insert("position".to_owned(), or("position", PostPosition::Cadre.as_str()));
    body.insert("employment_mode".to_owned(), or("employment_mode", EmploymentMode::FullTime.as_str()));
    body.insert("from_on".to_owned(), or("from_on", "2019-01-01"));
    for field in ["secondment", "to_on", "appointed_by"] {
        body.insert(field.to_owned(), cells.json(field));
    }
    let mut faults = body_faults("create_post", &Value::Object(body));
    let days = cells.parsed::<NaiveDate>("from_on").zip(cells.parsed::<NaiveDate>("to_on"));
    if days.is_some_and(|(from_on, to_on)| to_on < from_on) {
        faults.push(FieldError::at("/to_on", "before_start", "不能早于开始日期", "must not be before from_on"));
    }
    faults
}

/// A row with whom and where it is about.
struct Said {
    row: Row,
    organization_id: Option<OrganizationId>,
    person: Who,
}

/// How a row names a person.
enum Who {
    Nobody,
    Id(PersonId),
    IdNumber(Vec<u8>),
    Phone(Vec<u8>, String),
}

/// The posts of this table by what two may not share; fifty thousand may be of one organization.
#[derive(Default)]
struct Planned {
    posts: HashMap<PostId, i32>,
    /// First and last days of who holds what where.
    held: HashMap<(OrganizationId, PostPosition, PersonId), Vec<Days>>,
    /// The same of chairs, whoever holds them.
    chaired: HashMap<OrganizationId, Vec<Days>>,
}

/// Row, first and last day of a post.
type Days = (i32, NaiveDate, Option<NaiveDate>);

impl Planned {
    fn add(&mut self, number: i32, post: &Post) {
        let days = (number, post.from_on, post.to_on);
        self.posts.insert(post.id, number);
        self.held.entry((post.organization_id, post.position, post.person_id)).or_default().push(days);
        if post.position == PostPosition::Chair {
            self.chaired.entry(post.organization_id).or_default().push(days);
        }
    }
}

/// What a row does to the posts there are. Rows come in any order; they are written in this one, so that whoever leaves a chair
/// has left it before the next one takes it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// A post becomes shorter at one end or both, or stays as long as it is.
    Shorten,
    /// Another change.
    Change,
    /// A new post, or a row with something wrong.
    Make,
}

impl Step {
    fn of(before: Option<&Post>, after: &Post) -> Self {
        let Some(before) = before else { return Self::Make };
        let earlier_end = |last: NaiveDate| before.to_on.is_none_or(|was| last <= was);
        let inside = before.from_on <= after.from_on && after.to_on.map_or(before.to_on.is_none(), earlier_end);
        if inside { Self::Shorten } else { Self::Change }
    }
}

/// Rows that are worked on at a time.
const PART: usize = 500;

async fn run(work: &mut Work) -> Result<(), Halt> {
    let place = work.place();
    let tree = Tree::load(work.conn(), place).await?;
    let (mut shorten, mut change, mut make) = (vec![], vec![], vec![]);
    while let Some(rows) = work.rows(false).await? {
        let said: Vec<Said> = rows.into_iter().filter(|row| !row.faulty).filter_map(|row| said(work, &tree, row)).collect();
        let there = There::load(work, &tree, &said).await?;
        for said in &said {
            let step =
                meant(&tree, said, &there, work.now()).map_or(Step::Make, |(before, after)| Step::of(before.as_ref(), &after));
            match step {
                Step::Shorten => shorten.push(said.row.number),
                Step::Change => change.push(said.row.number),
                Step::Make => make.push(said.row.number),
            }
        }
    }
    let mut planned = Planned::default();
    for part in [shorten, change, make].iter().flat_map(|numbers| numbers.chunks(PART)) {
        let rows = work.rows_numbered(part).await?;
        let said: Vec<Said> = rows.into_iter().filter_map(|row| said(work, &tree, row)).collect();
        write(work, &tree, said, &mut planned).await?;
    }
    Ok(())
}

fn said(work: &mut Work, tree: &Tree, row: Row) -> Option<Said> {
    let vault = work.app.vault.clone();
    let numbers = seal_numbers(&vault, row.cells.text("phone"), row.cells.text("id_number"), work.today());
    let mut faults = Vec::new();
    let numbers = numbers.unwrap_or_else(|more| {
        faults.extend(more);
        Default::default()
    });
    let name = row.cells.text("person_name").map(str::to_owned);
    let person = match (row.cells.parsed::<Uuid>("person_id"), numbers.id_number_hash, numbers.phone_hash.zip(name)) {
        (Some(id), ..) => Who::Id(PersonId(id)),
        (None, Some(hash), _) => Who::IdNumber(hash),
        (None, None, Some((hash, name))) => Who::Phone(hash, name),
        (None, None, None) => Who::Nobody,
    };
    let organization_id = tree.named(&row.cells).unwrap_or_else(|fault| {
        faults.push(*fault);
        None
    });
    if faults.is_empty() {
        return Some(Said { row, organization_id, person });
    }
    faults.into_iter().for_each(|fault| work.fault(&row, fault));
    None
}

/// What there is, as far as a part of the rows needs it.
struct There {
    people: Vec<Person>,
    posts: Vec<Post>,
}

impl There {
    /// Looks it up; held until the transaction ends where something is to be written.
    async fn load(work: &mut Work, tree: &Tree, rows: &[Said]) -> Result<Self, Halt> {
        let mut people = people(work, tree, rows).await?;
        if work.write {
            let (scope, today) = (Scope::below(work.place()), work.today());
            let ids: Vec<PersonId> = people.iter().map(|person| person.id).collect();
            let held = hold_all(work.conn(), &scope, &ids, today).await?;
            people.retain(|person| held.contains(&person.id));
        }
        let ids: Vec<PostId> = rows.iter().filter_map(|said| said.row.cells.parsed::<Uuid>("id").map(PostId)).collect();
        let named = store::posts_by_id(work.conn(), &ids).await?;
        let holders = people.iter().map(|person| person.id).chain(named.iter().map(|post| post.person_id)).collect::<Vec<_>>();
        let places = rows.iter().filter_map(|said| said.organization_id);
        let places = places.chain(named.iter().map(|post| post.organization_id)).collect::<Vec<_>>();
        let mut posts = store::posts_like(work.conn(), &ids, &holders, &places).await?;
        if work.write {
            let ids: Vec<PostId> = posts.iter().map(|post| post.id).collect();
            posts = store::lock_posts(work.conn(), &ids).await?;
        }
        Ok(Self { people, posts })
    }
}

/// Who the rows are about, among those kept below the place.
async fn people(work: &mut Work, tree: &Tree, rows: &[Said]) -> Result<Vec<Person>, Halt> {
    let (mut ids, mut id_numbers, mut phones) = (vec![], vec![], vec![]);
    for said in rows {
        match &said.person {
            Who::Id(id) => ids.push(*id),
            Who::IdNumber(hash) => id_numbers.push(hash.clone()),
            Who::Phone(hash, _) => phones.push(hash.clone()),
            Who::Nobody => {}
        }
    }
    let mut found = store::people_like(work.conn(), &ids, &id_numbers, &phones).await?;
    found.retain(|person| person.status == PersonStatus::Active && tree.nodes.contains_key(&person.organization_id));
    Ok(found)
}

fn person_of(said: &Said, people: &[Person]) -> Result<Option<PersonId>, Box<FieldError>> {
    let find = |fits: &dyn Fn(&Person) -> bool, pointer: &str| {
        let mut fitting = people.iter().filter(|person| fits(person));
        match (fitting.next(), fitting.next()) {
            (Some(only), None) => Ok(Some(only.id)),
            (Some(_), Some(_)) => {
                let (zh, en) = ("有多人符合，请改用身份证号或 ID", "fits several people; use the identity number or the id");
                Err(Box::new(FieldError::at(pointer, "ambiguous", zh, en)))
            }
            (None, _) => Err(Box::new(FieldError::unknown_reference(pointer))),
        }
    };
    match &said.person {
        Who::Nobody => Ok(None),
        Who::Id(id) => find(&|person| person.id == *id, "/person_id"),
        Who::IdNumber(hash) => find(&|person| person.id_number_hash.as_ref() == Some(hash), "/id_number"),
        Who::Phone(hash, name) => find(&|person| person.phone_hash.as_ref() == Some(hash) && person.name == *name, "/phone"),
    }
}

async fn write(work: &mut Work, tree: &Tree, rows: Vec<Said>, planned: &mut Planned) -> Result<(), Halt> {
    let there = There::load(work, tree, &rows).await?;
    let now = work.now();
    let (mut new, mut changed, mut closed, mut entries) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for said in &rows {
        let row = &said.row;
        let (before, after) = match meant(tree, said, &there, now) {
            Ok(pair) => pair,
            Err(fault) => {
                work.fault(row, *fault);
                continue;
            }
        };
        if let Some(fault) = collision(&after, planned, &there.posts) {
            work.fault(row, fault);
            continue;
        }
        planned.add(row.number, &after);
        match before {
            None => {
                work.count_new();
                entries.push(change("post.created", &after).after(&told_of(&after)));
                new.push(after);
            }
            Some(before) => {
                let facts =
                    |post: &Post| (post.employment_mode, post.secondment, post.from_on, post.to_on, post.appointed_by.clone());
                let differs = facts(&before) != facts(&after);
                work.count_known(differs);
                if differs {
                    closed.extend((before.to_on != after.to_on).then_some(after.id.0));
                    entries.push(change("post.changed", &after).before(&told_of(&before)).after(&told_of(&after)));
                    changed.push(after);
                }
            }
        }
    }
    if work.writes() {
        if insert_many(work.conn(), &new).await? != new.len() {
            return Err(Halt::Moved);
        }
        store::update_posts(work.conn(), &changed, now).await?;
        let by = work.actor();
        work_items::close_many(work.conn(), &POST_EXPIRING, &closed, Some(by), now).await?;
        work.record(entries).await?;
    }
    Ok(())
}

fn change(action: &'static str, post: &Post) -> Change {
    Change::of(action, "post", post.id, post.organization_id)
}

/// What the audit trail keeps of a post.
fn told_of(post: &Post) -> Value {
    json!({
        "organization_id": post.organization_id, "person_id": post.person_id, "position": post.position,
        "employment_mode": post.employment_mode, "secondment": post.secondment, "from_on": post.from_on, "to_on": post.to_on,
        "appointed_by": post.appointed_by, "end_reason": post.end_reason,
    })
}

/// The post that a row means, as it is and as it is to be.
fn meant(
    tree: &Tree,
    said: &Said,
    there: &There,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<(Option<Post>, Post), Box<FieldError>> {
    let cells = &said.row.cells;
    let named = cells.parsed::<Uuid>("id").map(PostId);
    let by_id =
        named.and_then(|id| there.posts.iter().find(|post| post.id == id && tree.nodes.contains_key(&post.organization_id)));
    if named.is_some() && by_id.is_none() {
        return Err(FieldError::unknown_reference("/id").into());
    }
    let person_id = person_of(said, &there.people)?.or(by_id.map(|post| post.person_id));
    let person_id = person_id.ok_or_else(|| {
        FieldError::at(
            "/person_id",
            "required",
            "请填写人员 ID、身份证号，或姓名和电话",
            "give the person's id, identity number, or name and telephone",
        )
    })?;
    let organization_id = said.organization_id.or(by_id.map(|post| post.organization_id)).ok_or_else(missing)?;
    let position = cells.parsed::<PostPosition>("position").unwrap_or(PostPosition::Cadre);
    let from_on = cells.parsed::<NaiveDate>("from_on").unwrap_or_default();
    let same = |post: &&Post| (post.organization_id, post.person_id, post.position) == (organization_id, person_id, position);
    if let Some(post) = by_id.filter(|post| !same(post)) {
        let pointer = if post.position != position {
            "/position"
        } else if post.person_id != person_id {
            "/person_id"
        } else {
            "/organization_id"
        };
        return Err(Box::new(FieldError::at(
            pointer,
            "by_action",
            "换人、换职务或换组织须另建职务",
            "another person, position or organization is another post",
        )));
    }
    let before = by_id.or_else(|| there.posts.iter().find(|post| same(post) && post.from_on == from_on)).cloned();
    let to_on = if cells.has("to_on") { cells.parsed("to_on") } else { before.as_ref().and_then(|post| post.to_on) };
    let kept = before.as_ref();
    let after = Post {
        id: kept.map_or_else(PostId::generate, |post| post.id),
        organization_id,
        person_id,
        position,
        employment_mode: cells.parsed("employment_mode").unwrap_or(EmploymentMode::FullTime),
        secondment: if cells.has("secondment") { cells.parsed("secondment") } else { kept.and_then(|post| post.secondment) },
        from_on,
        to_on,
        appointed_by: match cells.has("appointed_by") {
            true => cells.text("appointed_by").map(str::to_owned),
            false => kept.and_then(|post| post.appointed_by.clone()),
        },
        // Why it ends belongs to the day on which it was to end.
        end_reason: kept.filter(|post| post.to_on == to_on).and_then(|post| post.end_reason.clone()),
        version: 1,
        created_at: now,
        updated_at: now,
    };
    if after.to_on.is_some_and(|last| last < after.from_on) {
        return Err(Box::new(FieldError::at("/to_on", "before_start", "不能早于开始日期", "must not be before from_on")));
    }
    Ok((before, after))
}

/// What two posts may not share: an organization has one chair at a time, and nobody holds one position there twice.
fn collision(post: &Post, planned: &Planned, there: &[Post]) -> Option<FieldError> {
    if let Some(first) = planned.posts.get(&post.id) {
        return Some(repeated("/from_on", *first));
    }
    let meets = |from_on: NaiveDate, to_on: Option<NaiveDate>| {
        to_on.is_none_or(|last| post.from_on <= last) && post.to_on.is_none_or(|last| from_on <= last)
    };
    // What the table changes counts as it is going to be.
    let others = there.iter().filter(|other| other.id != post.id && !planned.posts.contains_key(&other.id));
    let mut others = others.filter(|other| {
        (other.organization_id, other.position) == (post.organization_id, post.position) && meets(other.from_on, other.to_on)
    });
    let is_chair = post.position == PostPosition::Chair;
    if let Some(other) = others.find(|other| is_chair || other.person_id == post.person_id) {
        return Some(if other.person_id == post.person_id {
            let (zh, en) = ("该人员此时已任此职务", "she holds this position there at that time already");
            FieldError::at("/from_on", "taken", zh, en)
        } else {
            let (zh, en) = ("该组织此时已有主席", "the organization has a chair at that time already");
            FieldError::at("/position", "taken", zh, en)
        });
    }
    let met = |days: Option<&Vec<Days>>| {
        let met = days?.iter().find(|(_, from_on, to_on)| meets(*from_on, *to_on));
        met.map(|(number, ..)| *number)
    };
    if let Some(first) = met(planned.held.get(&(post.organization_id, post.position, post.person_id))) {
        return Some(repeated("/from_on", first));
    }
    let first = met(planned.chaired.get(&post.organization_id).filter(|_| is_chair));
    first.map(|first| repeated("/position", first))
}

fn shown<'a>(conn: &'a AsyncPgConnection, place: OrganizationId, today: NaiveDate) -> BoxFuture<'a, QueryResult<Vec<Cells>>> {
    async move {
        let tree = Tree::load(conn, place).await?;
        let rows = store::posts_below(conn, place, today).await?;
        let cells = rows.into_iter().map(|(row, name)| {
            let value = json!({
                "id": row.id, "organization_id": row.organization_id, "organization_path": tree.path(row.organization_id),
                "person_id": row.person_id, "person_name": name, "position": row.position,
                "employment_mode": row.employment_mode, "secondment": row.secondment, "from_on": row.from_on,
                "to_on": row.to_on, "appointed_by": row.appointed_by,
            });
            Cells(value.as_object().cloned().unwrap_or_default())
        });
        Ok(cells.collect())
    }
    .boxed()
}
