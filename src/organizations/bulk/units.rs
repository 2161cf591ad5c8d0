//! Units of the coverage from a table: known ones are found by id, credit code, their number in the list, or what and where they
//! are.

use std::collections::{HashMap, HashSet};

use chrono::NaiveDate;
use diesel::QueryResult;
use diesel_async::AsyncPgConnection;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{ORGANIZATION, Tree, missing, repeated, taken};
use crate::access::Permission;
use crate::audit::Change;
use crate::http::FieldError;
use crate::http::problem::Place;
use crate::ids::{CoverageUnitId, OrganizationId, SiteId};
use crate::imports::{Cells, Column, Halt, ImportKind, Kind, Row, Shape, Work, body_faults};
use crate::organizations::rules::{
    CoverageUnitKind, CoverageUnitStatus, EarlierUnits, OrganizationKind, UnitFacts, UnitFate, UnitFault, UnitKeys, may_cover,
    recognized, unit_faults,
};
use crate::organizations::store::bulk::divisions_of;
use crate::organizations::store::coverage::bulk::{self as store, Sought};
use crate::organizations::store::coverage::figures::counties_of;
use crate::organizations::store::coverage::{Unit, insert_many};

/// Units as a kind of import.
pub const COVERAGE_UNITS: Kind = Kind {
    kind: ImportKind::CoverageUnits,
    list: "coverage-units",
    columns: COLUMNS,
    permission: Permission::CoverageWrite,
    gives_access: false,
    reads: Permission::CoverageRead,
    check,
    run: |work| run(work).boxed(),
    shown,
};

const COLUMNS: &[Column] = &[
    Column::new("id", "ID", Shape::Id, "系统编号；新单位留空"),
    Column::new("kind", "类别", Shape::Choice(CoverageUnitKind::LABELS), "单位类别").required(),
    Column::new("name", "名称", Shape::Text, "2 至 100 字").required(),
    Column::new("organization_id", "组织 ID", Shape::Id, "所属妇联，三列填一列即可"),
    Column::new("organization_code", "组织代码", Shape::Code, "所属妇联的区划代码"),
    Column::new("organization_path", "组织全路径", Shape::Text, "如：岳阳市妇联/岳阳楼区妇联"),
    Column::new("division_code", "区划代码", Shape::Code, "所在区划，6、9 或 12 位数字，越细越好").required(),
    Column::new("uscc", "统一社会信用代码", Shape::Code, "18 位"),
    Column::new("address", "地址", Shape::Text, "不超过 200 字"),
    Column::new("employees_count", "职工人数", Shape::Integer, "不清楚留空"),
    Column::new("women_count", "妇女人数", Shape::Integer, "企业、医院、园区不超过职工人数；不清楚留空"),
    Column::new("covered_by_organization_id", "覆盖组织 ID", Shape::Id, "单位内的妇女组织，三列填一列即可；没有留空"),
    Column::new("covered_by_organization_code", "覆盖组织代码", Shape::Code, "单位内妇女组织的区划代码"),
    Column::new("covered_by_organization_path", "覆盖组织全路径", Shape::Text, "如：岳阳市妇联/岳阳楼区妇联/岳阳楼区商会妇联"),
    Column::new("covered_by_site_id", "覆盖阵地 ID", Shape::Id, "单位内的阵地；没有留空"),
    Column::new("external_id", "外部编号", Shape::Text, "贵单位名单中的编号，不超过 64 字"),
    Column::new("status", "状态", Shape::Choice(CoverageUnitStatus::LABELS), "新单位为正常；已有单位须与现状一致"),
];

/// Columns in which a row names the organization inside the unit.
const COVER: [&str; 3] = ["covered_by_organization_id", "covered_by_organization_code", "covered_by_organization_path"];

/// The bounds of `POST /coverage-units`, and what one row alone tells.
fn check(cells: &Cells, _: NaiveDate) -> Vec<FieldError> {
    let mut body = Map::new();
    body.insert("organization_id".to_owned(), json!(Uuid::nil()));
    let or = |field, placeholder: &str| json!(cells.text(field).unwrap_or(placeholder));
    body.insert("kind".to_owned(), or("kind", CoverageUnitKind::School.as_str()));
    body.insert("name".to_owned(), or("name", "——"));
    body.insert("division_code".to_owned(), or("division_code", "430600"));
    for field in ["uscc", "address", "employees_count", "women_count", "external_id"] {
        body.insert(field.to_owned(), cells.json(field));
    }
    let mut faults = body_faults("create_coverage_unit", &Value::Object(body));
    let facts = UnitFacts {
        kind: cells.parsed("kind").unwrap_or(CoverageUnitKind::School),
        division_code: "",
        // One that is too short or too long has been told.
        uscc: cells.text("uscc").filter(|uscc| uscc.len() == 18),
        employees_count: count(cells, "employees_count"),
        women_count: count(cells, "women_count"),
        area: (OrganizationKind::CityFederation, None),
    };
    faults.extend(unit_faults(&facts).into_iter().map(told));
    faults
}

fn told(fault: UnitFault) -> FieldError {
    let (field, code, zh, en) = fault.told();
    FieldError::at(format!("/{field}"), code, zh, en)
}

fn count(cells: &Cells, field: &str) -> Option<i32> {
    cells.number(field).map(|number| number as i32)
}

/// A row with what it refers to.
struct Said {
    row: Row,
    id: Option<CoverageUnitId>,
    kind: CoverageUnitKind,
    organization_id: OrganizationId,
    covered_by: Option<OrganizationId>,
    site_id: Option<SiteId>,
}

impl Said {
    fn text(&self, field: &str) -> &str {
        self.row.cells.text(field).unwrap_or_default()
    }

    fn keys(&self) -> UnitKeys<'_> {
        let cells = &self.row.cells;
        UnitKeys {
            id: self.id,
            uscc: cells.text("uscc"),
            external: cells.text("external_id").map(|id| (self.organization_id, id)),
            name: (self.text("division_code"), self.kind, self.text("name")),
        }
    }

    /// The column in which it names an organization.
    fn pointer(&self, fields: [&str; 3]) -> String {
        let used = fields.iter().find(|field| self.row.cells.text(field).is_some());
        format!("/{}", used.unwrap_or(&fields[0]))
    }

    /// Whether the table says something of what covers the unit.
    fn tells_cover(&self) -> bool {
        COVER.iter().any(|field| self.row.cells.has(field))
    }
}

fn keys_of(unit: &Unit) -> UnitKeys<'_> {
    UnitKeys {
        id: None,
        uscc: unit.uscc.as_deref(),
        external: unit.external_id.as_deref().map(|id| (unit.organization_id, id)),
        name: (&unit.division_code, unit.kind, &unit.name),
    }
}

async fn run(work: &mut Work) -> Result<(), Halt> {
    let place = work.place();
    if work.write {
        store::lock_lists(work.conn()).await?;
    }
    let tree = Tree::load(work.conn(), place).await?;
    let mut earlier = EarlierUnits::default();
    while let Some(rows) = work.rows(true).await? {
        let said: Vec<Said> = rows.into_iter().filter(|row| !row.faulty).filter_map(|row| said(work, &tree, row)).collect();
        write(work, &tree, said, &mut earlier).await?;
    }
    Ok(())
}

/// Reads what a row refers to; none: something is wrong with it.
fn said(work: &mut Work, tree: &Tree, row: Row) -> Option<Said> {
    let mut faults = Vec::new();
    let mut named = |fields| {
        tree.said(&row.cells, fields).unwrap_or_else(|fault| {
            faults.push(*fault);
            None
        })
    };
    let (organization_id, covered_by) = (named(ORGANIZATION), named(COVER));
    if organization_id.is_none() && ORGANIZATION.iter().all(|field| row.cells.text(field).is_none()) {
        faults.push(missing());
    }
    let (Some(organization_id), true) = (organization_id, faults.is_empty()) else {
        faults.into_iter().for_each(|fault| work.fault(&row, fault));
        return None;
    };
    let id = |field| row.cells.parsed::<Uuid>(field);
    Some(Said {
        id: id("id").map(CoverageUnitId),
        kind: row.cells.parsed("kind")?,
        organization_id,
        covered_by,
        site_id: id("covered_by_site_id").map(SiteId),
        row,
    })
}

/// What rows of a part of the file refer to.
struct Around<'a> {
    tree: &'a Tree,
    units: HashMap<CoverageUnitId, Unit>,
    divisions: HashSet<String>,
    sites: HashMap<SiteId, OrganizationId>,
    /// The county or zone of each area.
    counties: HashMap<OrganizationId, OrganizationId>,
}

impl<'a> Around<'a> {
    async fn load(work: &mut Work, tree: &'a Tree, rows: &[Said]) -> Result<Self, Halt> {
        let text = |said: &Said, field| said.row.cells.text(field).map(str::to_owned);
        let external = |said: &Said| Some((said.organization_id, text(said, "external_id")?));
        let sought = Sought {
            ids: rows.iter().filter_map(|said| said.id).collect(),
            usccs: rows.iter().filter_map(|said| text(said, "uscc")).collect(),
            externals: rows.iter().filter_map(external).collect(),
            names: rows
                .iter()
                .map(|said| (said.text("division_code").to_owned(), said.kind, said.text("name").to_owned()))
                .collect(),
        };
        let lock = work.write;
        let units = store::sought(work.conn(), sought, lock).await?;
        let codes: Vec<&str> = rows.iter().map(|said| said.text("division_code")).collect();
        let divisions = divisions_of(work.conn(), &codes).await?.into_iter().collect();
        let sites: Vec<SiteId> = rows.iter().filter_map(|said| said.site_id).collect();
        let sites = store::open_sites(work.conn(), &sites, lock).await?.into_iter().collect();
        let covered = rows.iter().filter(|said| said.covered_by.is_some() || said.site_id.is_some());
        let areas = covered.map(|said| said.organization_id);
        let areas: HashSet<OrganizationId> = areas.filter(|area| tree.nodes.contains_key(area)).collect();
        let counties = counties_of(work.conn(), &areas.into_iter().collect::<Vec<_>>()).await?;
        Ok(Self { tree, units: units.into_iter().map(|unit| (unit.id, unit)).collect(), divisions, sites, counties })
    }

    /// A unit that may be read below the place.
    fn unit(&self, id: CoverageUnitId) -> Option<&Unit> {
        self.units.get(&id).filter(|unit| self.tree.nodes.contains_key(&unit.organization_id))
    }

    /// The rules of a unit as it is to be. What it refers to already may stay, whatever has become of it since.
    fn faults(&self, said: &Said, before: Option<&Unit>, unit: &Unit) -> Vec<FieldError> {
        let (mut faults, area_at, cover_at) = (Vec::new(), said.pointer(ORGANIZATION), said.pointer(COVER));
        let moved = before.is_none_or(|before| before.organization_id != unit.organization_id);
        let elsewhere_now = before.is_some_and(|before| before.division_code != unit.division_code);
        if !self.divisions.contains(&unit.division_code) {
            faults.push(FieldError::at("/division_code", "unknown_reference", "没有这个区划", "there is no such division"));
        }
        let area = self.tree.nodes.get(&unit.organization_id);
        let Some(area) = area.filter(|area| !moved || self.tree.is_active(area.id)) else {
            faults.push(FieldError::unknown_reference(&area_at));
            return faults;
        };
        let facts = UnitFacts {
            kind: unit.kind,
            division_code: &unit.division_code,
            uscc: unit.uscc.as_deref(),
            employees_count: unit.employees_count,
            women_count: unit.women_count,
            // A unit that a successor took over lies where it lay.
            area: (area.kind, area.division_code.as_deref().filter(|_| moved || elsewhere_now)),
        };
        faults.extend(unit_faults(&facts).into_iter().map(|fault| match fault {
            UnitFault::AreaIsNoFederation => FieldError { place: Place::Pointer(area_at.clone()), ..told(fault) },
            fault => told(fault),
        }));
        let before = before.filter(|_| !moved);
        let county = self.counties.get(&area.id).copied().unwrap_or(area.id);
        let elsewhere = |pointer: &str| {
            FieldError::at(pointer, "other_county", "不在该单位所属的县市区", "does not belong to the county of the unit")
        };
        let organization = unit.covered_by_organization_id;
        if let Some(id) = organization.filter(|id| before.and_then(|unit| unit.covered_by_organization_id) != Some(*id)) {
            match self.tree.nodes.get(&id).filter(|found| self.tree.is_active(found.id)) {
                None => faults.push(FieldError::unknown_reference(&cover_at)),
                Some(found) => {
                    if !self.tree.is_below(id, county) {
                        faults.push(elsewhere(&cover_at));
                    }
                    if !may_cover(found.kind) {
                        let en = "a federation of a whole territory, or an office, is no women's organization inside a unit";
                        faults.push(FieldError::at(cover_at, "kind", "该组织不是单位内的妇女组织", en));
                    }
                }
            }
        }
        let site = unit.covered_by_site_id;
        if let Some(id) = site.filter(|id| before.and_then(|unit| unit.covered_by_site_id) != Some(*id)) {
            match self.sites.get(&id).filter(|owner| self.tree.nodes.contains_key(owner)) {
                None => faults.push(FieldError::unknown_reference("/covered_by_site_id")),
                Some(owner) if !self.tree.is_below(*owner, county) => faults.push(elsewhere("/covered_by_site_id")),
                Some(_) => {}
            }
        }
        faults
    }

    /// Which unit a row means: none, it is a new one.
    fn meant(&self, said: &Said, fate: UnitFate) -> Result<Option<&Unit>, Box<FieldError>> {
        match fate {
            UnitFate::New if said.row.cells.text("status") == Some(CoverageUnitStatus::Closed.as_str()) => {
                Err(by_action().into())
            }
            UnitFate::New => Ok(None),
            UnitFate::Taken(field) => Err(taken(&format!("/{field}")).into()),
            UnitFate::Repeated(field, first) => Err(repeated(&format!("/{field}"), first).into()),
            UnitFate::Known(id) => match self.unit(id) {
                Some(unit) => Ok(Some(unit)),
                // Whose it is elsewhere is not told; that its key is known is, as the single command does.
                None => {
                    let uscc = self.units.get(&id).and_then(|unit| unit.uscc.as_deref());
                    Err(taken(if uscc.is_some() && uscc == said.row.cells.text("uscc") { "/uscc" } else { "/name" }).into())
                }
            },
        }
    }
}

async fn write(work: &mut Work, tree: &Tree, rows: Vec<Said>, earlier: &mut EarlierUnits) -> Result<(), Halt> {
    let around = Around::load(work, tree, &rows).await?;
    let (mut open, mut closed) = (Vec::new(), Vec::new());
    for said in &rows {
        match said.id.map(|id| around.unit(id)) {
            None => open.push(said),
            Some(None) => work.fault(&said.row, FieldError::unknown_reference("/id")),
            Some(Some(unit)) if unit.status == CoverageUnitStatus::Closed => closed.push((said, unit)),
            Some(Some(_)) => open.push(said),
        }
    }
    // A unit that is no more, which the table tells as it is, needs no change.
    for (said, unit) in closed {
        match earlier.unit(said.row.number, unit.id) {
            Some(first) => work.fault(&said.row, repeated("/id", first)),
            None if said.row.cells.text("status") == Some(unit.status.as_str()) => work.count_known(false),
            None => work.fault(&said.row, by_action()),
        }
    }
    let active = around.units.values().filter(|unit| unit.status == CoverageUnitStatus::Active);
    let known: Vec<(CoverageUnitId, UnitKeys<'_>)> = active.map(|unit| (unit.id, keys_of(unit))).collect();
    let keys: Vec<(i32, UnitKeys<'_>)> = open.iter().map(|said| (said.row.number, said.keys())).collect();
    let fates = recognized(&known, &keys, earlier);
    let (mut new, mut changed, mut entries) = (Vec::new(), Vec::new(), Vec::new());
    for (said, fate) in open.into_iter().zip(fates) {
        let before = match around.meant(said, fate) {
            Ok(before) => before,
            Err(fault) => {
                work.fault(&said.row, *fault);
                continue;
            }
        };
        if before.is_some() && said.row.cells.text("status") == Some(CoverageUnitStatus::Closed.as_str()) {
            work.fault(&said.row, by_action());
            continue;
        }
        let after = made(said, before, work);
        let faults = around.faults(said, before, &after);
        if !faults.is_empty() {
            faults.into_iter().for_each(|fault| work.fault(&said.row, fault));
            continue;
        }
        match before {
            None => {
                work.count_new();
                entries.push(change("coverage_unit.created", &after).after(&told_of(&after)));
                new.push(after);
            }
            Some(before) => {
                work.count_known(*before != after);
                if *before != after {
                    entries.push(change("coverage_unit.changed", &after).before(&told_of(before)).after(&told_of(&after)));
                    changed.push(after);
                }
            }
        }
    }
    if work.writes() {
        let now = work.now();
        if insert_many(work.conn(), &new).await? != new.len() {
            return Err(Halt::Moved);
        }
        store::update_many(work.conn(), &changed, now).await?;
        work.record(entries).await?;
    }
    Ok(())
}

fn change(action: &'static str, unit: &Unit) -> Change {
    Change::of(action, "coverage_unit", unit.id, unit.organization_id)
}

/// What the audit trail keeps of a unit.
fn told_of(unit: &Unit) -> Value {
    json!({
        "kind": unit.kind, "name": unit.name, "organization_id": unit.organization_id, "division_code": unit.division_code,
        "uscc": unit.uscc, "address": unit.address, "employees_count": unit.employees_count, "women_count": unit.women_count,
        "covered_by_organization_id": unit.covered_by_organization_id, "covered_by_site_id": unit.covered_by_site_id,
        "external_id": unit.external_id, "status": unit.status,
    })
}

fn by_action() -> FieldError {
    let (zh, en) = (
        "注销、恢复须单独办理；已注销的单位不能导入或修改",
        "a unit is closed and reopened by its own actions only, and only an active one is imported or edited",
    );
    FieldError::at("/status", "by_action", zh, en)
}

/// What a row makes of a unit. What the table has no column for stays as it is.
fn made(said: &Said, before: Option<&Unit>, work: &Work) -> Unit {
    let (cells, organization_id) = (&said.row.cells, said.organization_id);
    let mut after = match before {
        // Its number in the list of another federation says nothing in this one's.
        Some(before) if before.organization_id != organization_id => Unit { external_id: None, ..before.clone() },
        Some(before) => before.clone(),
        None => Unit {
            id: CoverageUnitId::generate(),
            kind: said.kind,
            name: String::new(),
            organization_id,
            division_code: String::new(),
            uscc: None,
            address: None,
            employees_count: None,
            women_count: None,
            covered_by_organization_id: None,
            covered_by_site_id: None,
            external_id: None,
            status: CoverageUnitStatus::Active,
            closed_on: None,
            close_reason: None,
            version: 1,
            created_at: work.now(),
            updated_at: work.now(),
        },
    };
    after.kind = said.kind;
    after.organization_id = organization_id;
    said.text("name").clone_into(&mut after.name);
    said.text("division_code").clone_into(&mut after.division_code);
    let texts = [("uscc", &mut after.uscc), ("address", &mut after.address), ("external_id", &mut after.external_id)];
    for (field, value) in texts {
        if cells.has(field) {
            *value = cells.text(field).map(str::to_owned);
        }
    }
    let counts = [("employees_count", &mut after.employees_count), ("women_count", &mut after.women_count)];
    for (field, value) in counts {
        if cells.has(field) {
            *value = count(cells, field);
        }
    }
    if said.tells_cover() {
        after.covered_by_organization_id = said.covered_by;
    }
    if cells.has("covered_by_site_id") {
        after.covered_by_site_id = said.site_id;
    }
    after
}

fn shown<'a>(conn: &'a AsyncPgConnection, place: OrganizationId, _: NaiveDate) -> BoxFuture<'a, QueryResult<Vec<Cells>>> {
    async move {
        let tree = Tree::load(conn, place).await?;
        let rows = store::units_below(conn, place).await?;
        let cells = rows.into_iter().map(|row| {
            let cover = row.covered_by_organization_id.map(|id| tree.path(id)).filter(|path| !path.is_empty());
            let value = json!({
                "id": row.id, "kind": row.kind, "name": row.name, "organization_id": row.organization_id,
                "organization_path": tree.path(row.organization_id), "division_code": row.division_code, "uscc": row.uscc,
                "address": row.address, "employees_count": row.employees_count, "women_count": row.women_count,
                "covered_by_organization_id": row.covered_by_organization_id, "covered_by_organization_path": cover,
                "covered_by_site_id": row.covered_by_site_id, "external_id": row.external_id, "status": row.status,
            });
            Cells(value.as_object().cloned().unwrap_or_default())
        });
        Ok(cells.collect())
    }
    .boxed()
}
