//! Organizations from a table: parents in any order, by id, code or full path; known ones are found by id, code or path.

mod forest;

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

use super::{Tree, repeated, taken};
use crate::access::Permission;
use crate::audit::Change;
use crate::http::FieldError;
use crate::ids::{OrganizationEventId, OrganizationId};
use crate::imports::{Cells, Column, Halt, ImportKind, Kind, Row, Shape, Work, body_faults};
use crate::organizations::api::Location;
use crate::organizations::api::history::changes;
use crate::organizations::api::organizations::OrganizationSummaryView;
use crate::organizations::numbers::is_uscc;
use crate::organizations::rules::{
    OrganizationEventKind, OrganizationKind, OrganizationLevel, OrganizationStatus, check_division,
};
use crate::organizations::seed::blank;
use crate::organizations::store::bulk as store;
use crate::organizations::store::history::{self, Event};
use crate::organizations::store::organizations::{Organization, insert_many};
use forest::{Entry, Forest};

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
    if cells.parsed::<NaiveDate>("status_changed_on").is_some_and(|day| day > today) {
        faults.push(FieldError::at("/status_changed_on", "in_the_future", "不能晚于今天", "must not be after today"));
    }
    faults
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
    let (mut new, mut changed, mut events, mut entries) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
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
                entries.push(change("organization.created", &after).after(&told_of(&after)));
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
                    entries.push(change("organization.changed", &after).before(&told_of(before)).after(&told_of(&after)));
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
        work.record(entries).await?;
    }
    Ok(())
}

fn change(action: &'static str, organization: &Organization) -> Change {
    Change::of(action, "organization", organization.id, organization.id)
}

/// What the audit trail keeps of an organization, as the single commands do.
fn told_of(organization: &Organization) -> OrganizationSummaryView {
    OrganizationSummaryView::of(organization.clone().into())
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
