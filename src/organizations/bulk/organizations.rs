//! Organizations from a table: parents in any order, by id, code or full path; known ones are found by id, code or path.

use std::collections::HashMap;

use chrono::NaiveDate;
use diesel::QueryResult;
use diesel_async::AsyncPgConnection;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{Tree, ambiguous, repeated, taken};
use crate::access::Permission;
use crate::http::FieldError;
use crate::ids::{OrganizationEventId, OrganizationId};
use crate::imports::{Cells, Column, Halt, ImportKind, Kind, Row, Shape, Work, body_faults};
use crate::organizations::api::Location;
use crate::organizations::api::history::changes;
use crate::organizations::numbers::is_uscc;
use crate::organizations::rules::{
    OrganizationEventKind, OrganizationKind, OrganizationLevel, OrganizationStatus, check_division, check_placement,
};
use crate::organizations::seed::blank;
use crate::organizations::store::bulk as store;
use crate::organizations::store::history::{self, Event};
use crate::organizations::store::organizations::{Organization, insert_many};

/// Organizations as a kind of import.
pub const ORGANIZATIONS: Kind = Kind {
    kind: ImportKind::Organizations,
    list: "organizations",
    columns: COLUMNS,
    permission: Permission::OrganizationWrite,
    gives_access: false,
    reads: Permission::OrganizationRead,
    check,
    run: |work| run(work).boxed(),
    shown,
};

const COLUMNS: &[Column] = &[
    Column::new("id", "ID", Shape::Id, "系统编号；新组织留空。其他系统的编号可用于在本表内指明上级"),
    Column::new("kind", "类别", Shape::Choice(OrganizationKind::LABELS), "组织类型").required(),
    Column::new("level", "层级", Shape::Choice(OrganizationLevel::LABELS), "各级妇联可不填；其他组织必填"),
    Column::new("name", "名称", Shape::Text, "2 至 100 字").required(),
    Column::new("short_name", "简称", Shape::Text, "不超过 50 字"),
    Column::new("parent_id", "上级组织 ID", Shape::Id, "上级三列填一列即可"),
    Column::new("parent_code", "上级代码", Shape::Code, "上级组织的区划代码"),
    Column::new("parent_path", "上级全路径", Shape::Text, "如：岳阳市妇联/岳阳楼区妇联；上级可在本表任意一行"),
    Column::new("host_name", "所属单位", Shape::Text, "不超过 100 字"),
    Column::new("division_code", "区划代码", Shape::Code, "6、9 或 12 位数字"),
    Column::new("uscc", "统一社会信用代码", Shape::Code, "18 位"),
    Column::new("address", "地址", Shape::Text, "办公地址，对外公开"),
    Column::new("location.longitude", "经度", Shape::Decimal, "GCJ-02，与纬度同时填写"),
    Column::new("location.latitude", "纬度", Shape::Decimal, "GCJ-02，与经度同时填写"),
    Column::new("phone", "电话", Shape::Code, "办公电话，对外公开；不要填写个人号码"),
    Column::new("founded_on", "成立日期", Shape::Date, "如：2019-03-01"),
    Column::new("approval_document", "批准文件", Shape::Text, "不超过 100 字"),
    Column::new("status", "状态", Shape::Choice(OrganizationStatus::LABELS), "新组织可为正常或已撤销；已有组织须与现状一致"),
    Column::new("status_changed_on", "状态变更日期", Shape::Date, "撤销日期"),
    Column::new("tags", "标签", Shape::List, "多个标签用逗号分隔，最多 20 个"),
];

/// The bounds of `POST /organizations`, and what one row alone tells.
fn check(cells: &Cells, today: NaiveDate) -> Vec<FieldError> {
    let mut body = Map::new();
    body.insert("parent_id".to_owned(), json!(Uuid::nil()));
    body.insert("kind".to_owned(), json!(cells.text("kind").unwrap_or(OrganizationKind::CityFederation.as_str())));
    body.insert("name".to_owned(), json!(cells.text("name").unwrap_or("——")));
    for field in ["short_name", "host_name", "division_code", "uscc", "address", "phone", "founded_on", "approval_document"] {
        body.insert(field.to_owned(), cells.json(field));
    }
    body.insert("tags".to_owned(), json!(cells.list("tags")));
    let degrees = [cells.number("location.longitude"), cells.number("location.latitude")];
    if let [Some(longitude), Some(latitude)] = degrees {
        body.insert("location".to_owned(), json!({ "longitude": longitude, "latitude": latitude }));
    }
    let mut faults = body_faults("create_organization", &Value::Object(body));
    if degrees.iter().flatten().count() == 1 {
        let empty = if degrees[0].is_none() { "/location/longitude" } else { "/location/latitude" };
        faults.push(FieldError::at(empty, "required", "经度和纬度须同时填写", "longitude and latitude go together"));
    }
    if let Some(uscc) = cells.text("uscc").filter(|uscc| uscc.len() == 18 && !is_uscc(uscc)) {
        let (zh, en) = ("统一社会信用代码校验不通过", "the check characters do not fit (GB 32100-2015)");
        faults.push(FieldError::at("/uscc", "check_character", zh, format!("{en}: {uscc}")));
    }
    if let Some(kind) = cells.parsed::<OrganizationKind>("kind") {
        let given = cells.parsed::<OrganizationLevel>("level");
        let level = kind.level().or(given);
        if level.is_none() || given.is_some_and(|given| Some(given) != level) {
            faults.push(FieldError::at(
                "/level",
                "level",
                "级别与组织类型不符，或缺少级别",
                "does not fit the kind, or is missing",
            ));
        }
    }
    if cells.text("status") == Some("merged") {
        faults.push(FieldError::at("/status", "merged", "已合并的组织不能导入", "a merged organization cannot be imported"));
    }
    if cells.parsed::<NaiveDate>("status_changed_on").is_some_and(|day| day > today) {
        faults.push(FieldError::at("/status_changed_on", "in_the_future", "不能晚于今天", "must not be after today"));
    }
    faults
}

/// What a row says of its parent.
#[derive(Debug, Clone, PartialEq)]
enum Said {
    Nothing,
    Id(OrganizationId),
    Code(String),
    Path(String),
}

impl Said {
    const fn pointer(&self) -> &'static str {
        match self {
            Self::Id(_) => "/parent_id",
            Self::Code(_) => "/parent_code",
            Self::Nothing | Self::Path(_) => "/parent_path",
        }
    }
}

/// Who a row's parent is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Parent {
    None,
    Known(OrganizationId),
    Row(usize),
    /// It names nobody.
    Unknown,
    /// It has a path that two have.
    Ambiguous,
}

/// A row as far as the shape of the tree goes; fifty thousand of these are in memory.
struct Entry {
    number: i32,
    faulty: bool,
    id: Option<OrganizationId>,
    name: String,
    kind: Option<OrganizationKind>,
    level: Option<OrganizationLevel>,
    code: Option<String>,
    said: Said,
    /// What there is already.
    known: Option<OrganizationId>,
    /// What it is going to be.
    new: OrganizationId,
    parent: Parent,
    depth: usize,
}

impl Entry {
    fn of(row: &Row) -> Self {
        let cells = &row.cells;
        let kind = cells.parsed::<OrganizationKind>("kind");
        let id = |field| cells.parsed::<Uuid>(field).map(OrganizationId);
        let said = match (id("parent_id"), cells.text("parent_code"), cells.text("parent_path")) {
            (Some(id), ..) => Said::Id(id),
            (None, Some(code), _) => Said::Code(code.to_owned()),
            (None, None, Some(path)) => Said::Path(path.to_owned()),
            (None, None, None) => Said::Nothing,
        };
        Self {
            number: row.number,
            faulty: row.faulty,
            id: id("id"),
            name: cells.text("name").unwrap_or_default().to_owned(),
            kind,
            level: kind.and_then(OrganizationKind::level).or(cells.parsed("level")),
            code: cells.text("division_code").map(str::to_owned),
            said,
            known: None,
            new: OrganizationId::generate(),
            parent: Parent::None,
            depth: 0,
        }
    }

    fn organization(&self) -> OrganizationId {
        self.known.unwrap_or(self.new)
    }
}

/// The rows and what they hang below.
struct Forest {
    tree: Tree,
    entries: Vec<Entry>,
}

async fn run(work: &mut Work) -> Result<(), Halt> {
    let place = work.place();
    let tree = Tree::load(work.conn(), place).await?;
    let mut entries = Vec::new();
    while let Some(rows) = work.rows(false).await? {
        entries.extend(rows.iter().map(Entry::of));
    }
    let mut forest = Forest { tree, entries };
    let faults = forest.grow(place);
    tell(work, faults).await?;
    let mut order: Vec<usize> = (0..forest.entries.len()).filter(|index| !forest.entries[*index].faulty).collect();
    order.sort_by_key(|index| (forest.entries[*index].depth, *index));
    let mut codes = Codes::default();
    for part in order.chunks(500) {
        write(work, &forest, part, &mut codes).await?;
    }
    Ok(())
}

/// Tells faults of rows that are not at hand any more.
async fn tell(work: &mut Work, faults: Vec<(i32, FieldError)>) -> Result<(), Halt> {
    for part in faults.chunks(500) {
        let numbers: Vec<i32> = part.iter().map(|(number, _)| *number).collect();
        let rows: HashMap<i32, Row> = work.rows_numbered(&numbers).await?.into_iter().map(|row| (row.number, row)).collect();
        for (number, fault) in part {
            if let Some(row) = rows.get(number) {
                work.fault(row, fault.clone());
            }
        }
    }
    Ok(())
}

impl Forest {
    /// Finds what is known and who hangs below whom; what cannot be is told. A row below a row that is wrong is passed over in
    /// silence: it is told when that one is right.
    fn grow(&mut self, place: OrganizationId) -> Vec<(i32, FieldError)> {
        let mut faults = Vec::new();
        let (mut by_id, mut by_code) = (HashMap::new(), HashMap::new());
        for (index, entry) in self.entries.iter_mut().enumerate() {
            let first = entry.id.map(|id| *by_id.entry(id).or_insert((index, entry.number)));
            if let Some((_, number)) = first.filter(|(first, _)| *first != index) {
                entry.faulty = true;
                faults.push((entry.number, repeated("/id", number)));
                continue;
            }
            if let Some(code) = &entry.code {
                by_code.entry(code.clone()).or_insert(index);
            }
            let by_number = entry.id.filter(|id| self.tree.nodes.contains_key(id));
            let coded = entry.code.as_ref().and_then(|code| self.tree.by_code.get(code)).copied();
            entry.known = by_number.or(coded.filter(|id| self.tree.nodes.get(id).map(|node| node.kind) == entry.kind));
        }
        for index in 0..self.entries.len() {
            self.entries[index].parent = self.parent_by_id_or_code(index, &by_id, &by_code);
        }
        let by_path = self.paths();
        for (index, path) in by_path.own.iter().enumerate() {
            let entry = &mut self.entries[index];
            if let (Said::Path(said), None) = (&entry.said, entry.known.filter(|known| *known == place)) {
                let said = self.tree.full(said);
                entry.parent = match (self.tree.by_path.get(&said), by_path.rows.get(&said)) {
                    (Some(Some(id)), _) => Parent::Known(*id),
                    (Some(None), _) => Parent::Ambiguous,
                    (None, Some(parent)) => Parent::Row(*parent),
                    (None, None) => Parent::Unknown,
                };
            }
            let first = path.as_ref().and_then(|path| by_path.rows.get(path)).filter(|first| **first != index);
            if let Some(first) = first.filter(|_| !entry.faulty && entry.known.is_none()) {
                entry.faulty = true;
                faults.push((entry.number, repeated("/name", by_path.numbers[*first])));
                continue;
            }
            if entry.known.is_none() {
                entry.known = path.as_ref().and_then(|path| self.tree.by_path.get(path)).copied().flatten();
            }
        }
        self.settle(place, &mut faults);
        faults
    }

    fn parent_by_id_or_code(
        &self,
        index: usize,
        by_id: &HashMap<OrganizationId, (usize, i32)>,
        by_code: &HashMap<String, usize>,
    ) -> Parent {
        match &self.entries[index].said {
            Said::Nothing | Said::Path(_) => Parent::None,
            Said::Id(id) if self.tree.is_active(*id) => Parent::Known(*id),
            Said::Id(id) => by_id.get(id).map_or(Parent::Unknown, |(parent, _)| Parent::Row(*parent)),
            Said::Code(code) => match (self.tree.by_code.get(code), by_code.get(code)) {
                (Some(id), _) => Parent::Known(*id),
                (None, Some(parent)) => Parent::Row(*parent),
                (None, None) => Parent::Unknown,
            },
        }
    }

    /// The path of each row, and the row of each path: the path it has and, of what is renamed, the one it had.
    fn paths(&self) -> Paths {
        let mut own: Vec<Option<String>> = vec![None; self.entries.len()];
        for index in 0..self.entries.len() {
            // Upwards to what has a path; a circle has none.
            let (mut line, mut at) = (vec![], index);
            let mut path = loop {
                if let Some(known) = &own[at] {
                    break Some(known.clone());
                }
                let entry = &self.entries[at];
                if line.len() > 20 {
                    break None;
                }
                line.push(at);
                match (&entry.said, entry.parent) {
                    _ if entry.known.is_some() && entry.parent == Parent::None => {
                        break entry.known.map(|id| {
                            let path = self.tree.path(id);
                            path.rsplit_once('/').map_or_else(String::new, |(above, _)| above.to_owned())
                        });
                    }
                    (Said::Path(said), _) => break Some(self.tree.full(said)),
                    (_, Parent::Known(id)) => break Some(self.tree.path(id)),
                    (_, Parent::Row(parent)) => at = parent,
                    (_, Parent::None) => break Some(String::new()),
                    (_, Parent::Unknown | Parent::Ambiguous) => break None,
                }
            };
            for at in line.into_iter().rev() {
                path = path.map(|above| {
                    if above.is_empty() { self.entries[at].name.clone() } else { format!("{above}/{}", self.entries[at].name) }
                });
                own[at].clone_from(&path);
            }
        }
        let mut rows = HashMap::new();
        for (index, path) in own.iter().enumerate() {
            let had = self.entries[index].known.map(|known| self.tree.path(known));
            for path in had.into_iter().chain(path.clone()) {
                rows.entry(path).or_insert(index);
            }
        }
        let numbers = self.entries.iter().map(|entry| entry.number).collect();
        Paths { own, rows, numbers }
    }

    /// Depths, circles, and everything that the shape alone tells.
    fn settle(&mut self, place: OrganizationId, faults: &mut Vec<(i32, FieldError)>) {
        let mut seen: HashMap<OrganizationId, i32> = HashMap::new();
        let mut broken: Vec<usize> = Vec::new();
        for index in 0..self.entries.len() {
            let (mut at, mut depth, mut silent, mut circle) = (index, 0, false, false);
            while let Parent::Row(parent) = self.entries[at].parent {
                depth += 1;
                at = parent;
                silent |= self.entries[parent].faulty;
                circle = parent == index;
                // Below a circle, or deeper than there are levels: told at a row further up.
                silent |= depth > 20;
                if circle || depth > 20 {
                    break;
                }
            }
            let entry = &self.entries[index];
            let pointer = entry.said.pointer();
            let fault = if entry.faulty {
                None
            } else if circle {
                Some(FieldError::at(pointer, "cycle", "上级关系成环", "hangs below itself"))
            } else if silent || entry.known == Some(place) {
                None
            } else {
                self.parent_fault(index, pointer)
            };
            let twice = entry.known.filter(|_| !entry.faulty).and_then(|known| seen.insert(known, entry.number));
            let fault = fault.or_else(|| twice.map(|first| repeated("/name", first)));
            self.entries[index].depth = depth;
            match fault {
                Some(fault) => {
                    faults.push((self.entries[index].number, fault));
                    broken.push(index);
                }
                None if silent => broken.push(index),
                None => {}
            }
        }
        for index in broken {
            self.entries[index].faulty = true;
        }
        // What hangs below something broken is not written and not told.
        for index in 0..self.entries.len() {
            let mut at = index;
            for _ in 0..=20 {
                let Parent::Row(parent) = self.entries[at].parent else { break };
                if self.entries[parent].faulty {
                    self.entries[index].faulty = true;
                    break;
                }
                at = parent;
            }
        }
    }

    fn parent_fault(&self, index: usize, pointer: &str) -> Option<FieldError> {
        let entry = &self.entries[index];
        let known = entry.known.and_then(|id| self.tree.nodes.get(&id));
        match (entry.parent, known) {
            (Parent::Unknown, _) => return Some(FieldError::unknown_reference(pointer)),
            (Parent::Ambiguous, _) => return Some(ambiguous(pointer)),
            (Parent::None, None) => {
                return Some(FieldError::at("/parent_path", "required", "新组织须填写上级", "a new organization needs a parent"));
            }
            (Parent::None, Some(_)) => {}
            (Parent::Known(parent), Some(node)) if node.parent_id != Some(parent) => return Some(moved(pointer)),
            (Parent::Row(parent), Some(node)) if node.parent_id != Some(self.entries[parent].organization()) => {
                return Some(moved(pointer));
            }
            (Parent::Known(_) | Parent::Row(_), _) => {}
        }
        let (kind, level) = (entry.kind?, entry.level?);
        if let Some(node) = known {
            let differs = |field, zh, en| Some(FieldError::at(field, "by_action", zh, en));
            return match (node.kind == kind, node.level == level) {
                (false, _) => differs("/kind", "已有组织的类别不能改变", "the kind of an organization does not change"),
                (_, false) => differs("/level", "已有组织的层级不能改变", "the level of an organization does not change"),
                _ => None,
            };
        }
        let above = self.parent_of(index)?;
        let fault = check_placement(kind, level, Some((above.0, above.1))).err()?;
        Some(FieldError::at(pointer, "placement", "上级的类型或级别不符合要求", fault.to_string()))
    }

    /// Kind, level and division of a row's parent.
    fn parent_of(&self, index: usize) -> Option<(OrganizationKind, OrganizationLevel, Option<&str>)> {
        let of_node = |id: OrganizationId| {
            let node = self.tree.nodes.get(&id)?;
            Some((node.kind, node.level, node.division_code.as_deref()))
        };
        let entry = &self.entries[index];
        match entry.parent {
            Parent::Known(id) => of_node(id),
            Parent::Row(parent) => {
                let parent = &self.entries[parent];
                Some((parent.kind?, parent.level?, parent.code.as_deref()))
            }
            _ => of_node(self.tree.nodes.get(&entry.known?)?.parent_id?),
        }
    }

    fn parent_id(&self, index: usize) -> Option<OrganizationId> {
        match self.entries[index].parent {
            Parent::Known(id) => Some(id),
            Parent::Row(parent) => Some(self.entries[parent].organization()),
            _ => None,
        }
    }
}

struct Paths {
    own: Vec<Option<String>>,
    rows: HashMap<String, usize>,
    numbers: Vec<i32>,
}

fn moved(pointer: &str) -> FieldError {
    FieldError::at(
        pointer,
        "by_action",
        "与现有上级不同；导入不调整上级，请使用“调整上级”",
        "is another parent than it has; imports do not move organizations",
    )
}

/// Codes that rows of the table have taken, by their first row.
#[derive(Default)]
struct Codes {
    divisions: HashMap<String, i32>,
    usccs: HashMap<String, i32>,
}

async fn write(work: &mut Work, forest: &Forest, part: &[usize], codes: &mut Codes) -> Result<(), Halt> {
    let numbers: Vec<i32> = part.iter().map(|index| forest.entries[*index].number).collect();
    let rows = work.rows_numbered(&numbers).await?;
    let ids: Vec<OrganizationId> = part.iter().filter_map(|index| forest.entries[*index].known).collect();
    let known = match work.write {
        true => store::lock_organizations(work.conn(), &ids).await?,
        false => store::organizations_by_id(work.conn(), &ids).await?,
    };
    let known: HashMap<OrganizationId, Organization> = known.into_iter().map(|row| (row.id, row)).collect();
    let of = |field: &'static str| -> Vec<&str> { rows.iter().filter_map(|row| row.cells.text(field)).collect() };
    let (divisions, usccs) = (of("division_code"), of("uscc"));
    let exist = store::divisions_of(work.conn(), &divisions).await?;
    let holders = store::holders(work.conn(), &divisions, &usccs).await?;
    let (now, today) = (work.now(), work.today());
    let (mut new, mut changed, mut events) = (Vec::new(), Vec::new(), Vec::new());
    for (index, row) in part.iter().zip(&rows) {
        let entry = &forest.entries[*index];
        let before = entry.known.and_then(|id| known.get(&id));
        let Some(after) = made(forest, *index, row, before, work) else { continue };
        let mut faults = Vec::new();
        let active = after.status == OrganizationStatus::Active;
        if let Some(code) =
            after.division_code.as_deref().filter(|code| before.and_then(|row| row.division_code.as_deref()) != Some(*code))
        {
            let above = forest.parent_of(*index).map(|(kind, _, code)| (kind, code));
            if let Err(fault) = check_division(after.kind, code, above) {
                faults.push(FieldError::at("/division_code", "division", "区划代码与组织类型或上级区划不符", fault.to_string()));
            } else if !exist.iter().any(|known| known == code) {
                faults.push(FieldError::at("/division_code", "unknown_reference", "没有这个区划", "there is no such division"));
            } else if active && holders.iter().any(|(id, held, _)| held.as_deref() == Some(code) && *id != after.id) {
                faults.push(taken("/division_code"));
            }
        }
        if let Some(uscc) = after.uscc.as_deref().filter(|_| active)
            && holders.iter().any(|(id, _, held)| held.as_deref() == Some(uscc) && *id != after.id)
        {
            faults.push(taken("/uscc"));
        }
        if active {
            let own = [(&after.division_code, &mut codes.divisions, "/division_code"), (&after.uscc, &mut codes.usccs, "/uscc")];
            for (code, seen, pointer) in own {
                let first = code.as_ref().map(|code| *seen.entry(code.clone()).or_insert(row.number));
                if let Some(first) = first.filter(|first| *first != row.number) {
                    faults.push(repeated(pointer, first));
                }
            }
        }
        if !faults.is_empty() {
            faults.into_iter().for_each(|fault| work.fault(row, fault));
            continue;
        }
        match before {
            None => {
                work.count_new();
                new.push(after);
            }
            Some(before) => {
                let differences = changes(before, &after);
                work.count_known(!differences.is_empty());
                if !differences.is_empty() {
                    events.push(Event {
                        id: OrganizationEventId::generate(),
                        organization_id: after.id,
                        kind: OrganizationEventKind::Changed,
                        occurred_on: today,
                        from_id: None,
                        to_id: None,
                        changes: serde_json::to_value(&differences).unwrap_or_default(),
                        reason: None,
                        actor_id: Some(work.actor()),
                        recorded_at: now,
                    });
                    changed.push(after);
                }
            }
        }
    }
    if work.writes() {
        let actor = work.actor();
        if insert_many(work.conn(), &new, today, Some(actor)).await? != new.len() {
            return Err(Halt::Moved);
        }
        store::update_organizations(work.conn(), &changed, now).await?;
        history::record(work.conn(), &events).await?;
    }
    Ok(())
}

/// What a row makes of an organization. What the table has no column for stays as it is.
fn made(forest: &Forest, index: usize, row: &Row, before: Option<&Organization>, work: &mut Work) -> Option<Organization> {
    let entry = &forest.entries[index];
    let cells = &row.cells;
    let status = cells.parsed::<OrganizationStatus>("status");
    if before
        .is_some_and(|before| status.is_some_and(|status| status != before.status) || before.status != OrganizationStatus::Active)
    {
        let fault = FieldError::at(
            "/status",
            "by_action",
            "状态只能由撤销、合并、恢复改变；已撤销的组织不能修改",
            "the state changes by its own actions only, and only what is active is edited",
        );
        let same = before.map(|before| before.status) == status;
        // A dissolved organization that the table tells as it is needs no change.
        if !same {
            work.fault(row, fault);
            return None;
        }
    }
    let (kind, level) = (entry.kind?, entry.level?);
    let mut after = match before {
        Some(before) => before.clone(),
        None => {
            let fresh = blank(entry.new, kind, level, &entry.name, work.now());
            let status = status.unwrap_or(OrganizationStatus::Active);
            let since = (status != OrganizationStatus::Active).then(|| cells.parsed("status_changed_on").unwrap_or(work.today()));
            Organization { parent_id: forest.parent_id(index), status, status_changed_on: since, ..fresh }
        }
    };
    if before.is_some_and(|before| before.status != OrganizationStatus::Active) {
        return Some(after);
    }
    after.name.clone_from(&entry.name);
    let texts: [(&str, &mut Option<String>); 7] = [
        ("short_name", &mut after.short_name),
        ("host_name", &mut after.host_name),
        ("division_code", &mut after.division_code),
        ("uscc", &mut after.uscc),
        ("address", &mut after.address),
        ("phone", &mut after.phone),
        ("approval_document", &mut after.approval_document),
    ];
    for (field, value) in texts {
        if cells.has(field) {
            *value = cells.text(field).map(str::to_owned);
        }
    }
    if cells.has("location.longitude") && cells.has("location.latitude") {
        let at = cells.number("location.longitude").zip(cells.number("location.latitude"));
        (after.longitude, after.latitude) = Location::parts(at.map(|(longitude, latitude)| Location { longitude, latitude }));
    }
    if cells.has("founded_on") {
        after.founded_on = cells.parsed("founded_on");
    }
    if cells.has("tags") {
        after.tags = cells.list("tags");
    }
    Some(after)
}

fn shown<'a>(conn: &'a AsyncPgConnection, place: OrganizationId, _: NaiveDate) -> BoxFuture<'a, QueryResult<Vec<Cells>>> {
    async move {
        let rows = store::whole(conn, place).await?;
        let degrees = |part: Option<Decimal>| part.and_then(|part| part.to_f64());
        let cells = rows.into_iter().map(|row| {
            let value = json!({
                "id": row.id, "kind": row.kind, "level": row.level, "name": row.name, "short_name": row.short_name,
                "parent_id": row.parent_id, "host_name": row.host_name, "division_code": row.division_code, "uscc": row.uscc,
                "address": row.address, "location.longitude": degrees(row.longitude), "location.latitude": degrees(row.latitude),
                "phone": row.phone, "founded_on": row.founded_on, "approval_document": row.approval_document,
                "status": row.status, "status_changed_on": row.status_changed_on, "tags": row.tags,
            });
            Cells(value.as_object().cloned().unwrap_or_default())
        });
        Ok(cells.collect())
    }
    .boxed()
}
