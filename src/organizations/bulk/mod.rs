//! Many organizations, people, posts and coverage units from a table. The rules are those of the single commands: bounds by the document, the rest by
//! the same functions; what is looked up is looked up for a part of the file at a time.

mod organizations;
mod people;
mod posts;
mod units;

use std::collections::HashMap;

use diesel::QueryResult;
use diesel_async::AsyncPgConnection;

use super::rules::OrganizationStatus;
use super::store::bulk::{self as store, Node};
use super::store::tree;
use crate::http::FieldError;
use crate::ids::OrganizationId;
use crate::imports::Cells;

pub use organizations::ORGANIZATIONS;
pub use people::PEOPLE;
pub use posts::POSTS;
pub use units::COVERAGE_UNITS;

/// Nobody moves or dissolves anything until the transaction ends.
pub async fn lock(conn: &mut AsyncPgConnection) -> QueryResult<()> {
    tree::lock_shared(conn).await
}

/// What lies below a place, by id, code and path.
pub struct Tree {
    nodes: HashMap<OrganizationId, Node>,
    path_of: HashMap<OrganizationId, String>,
    by_code: HashMap<String, OrganizationId>,
    /// None: two have this path.
    by_path: HashMap<String, Option<OrganizationId>>,
    /// The same of what is no more.
    ended: HashMap<String, Option<OrganizationId>>,
    /// Names above the place, each with a slash behind it, and the place's own.
    above: String,
    place: String,
}

impl Tree {
    /// Reads it.
    pub async fn load(conn: &AsyncPgConnection, place: OrganizationId) -> QueryResult<Self> {
        let above: String = store::names_above(conn, place).await?.into_iter().map(|name| name + "/").collect();
        let all = store::nodes(conn, place).await?;
        let mut tree = Self {
            nodes: HashMap::with_capacity(all.len()),
            path_of: HashMap::with_capacity(all.len()),
            by_code: HashMap::new(),
            by_path: HashMap::with_capacity(all.len()),
            ended: HashMap::new(),
            place: all.first().map_or_else(String::new, |node| node.name.clone()),
            above,
        };
        for node in all {
            let parent = node.parent_id.and_then(|parent| tree.path_of.get(&parent));
            let path = parent.map_or_else(|| format!("{}{}", tree.above, node.name), |parent| format!("{parent}/{}", node.name));
            let active = node.status == OrganizationStatus::Active;
            let paths = if active { &mut tree.by_path } else { &mut tree.ended };
            paths.entry(path.clone()).and_modify(|known| *known = None).or_insert(Some(node.id));
            if let Some(code) = node.division_code.as_ref().filter(|_| active) {
                tree.by_code.insert(code.clone(), node.id);
            }
            tree.path_of.insert(node.id, path);
            tree.nodes.insert(node.id, node);
        }
        Ok(tree)
    }

    /// Organizations by their path: those that work, or those that are no more.
    fn paths(&self, ended: bool) -> &HashMap<String, Option<OrganizationId>> {
        if ended { &self.ended } else { &self.by_path }
    }

    /// A path as it is looked up: from the top of the tree, also where it was given from the place on.
    fn full(&self, path: &str) -> String {
        let names = path.split(['/', '／', '>']).map(str::trim).filter(|name| !name.is_empty());
        let path = names.collect::<Vec<_>>().join("/");
        if path.split('/').next() == Some(&self.place) { format!("{}{path}", self.above) } else { path }
    }

    /// Whether an organization lies there, works or not.
    pub fn contains(&self, id: OrganizationId) -> bool {
        self.nodes.contains_key(&id)
    }

    /// Whether an organization is the top of the whole tree.
    pub fn is_top(&self, id: OrganizationId) -> bool {
        self.nodes.get(&id).is_some_and(|node| node.parent_id.is_none())
    }

    /// Whether an organization lies there and works.
    pub fn is_active(&self, id: OrganizationId) -> bool {
        self.nodes.get(&id).is_some_and(|node| node.status == OrganizationStatus::Active)
    }

    /// The active organization that a row names by its id, code or full path; none: it names none.
    pub fn named(&self, cells: &Cells) -> Result<Option<OrganizationId>, Box<FieldError>> {
        self.named_in(cells, ORGANIZATION)
    }

    /// The same in other columns: those of the id, the code and the full path.
    pub fn named_in(&self, cells: &Cells, columns: [&str; 3]) -> Result<Option<OrganizationId>, Box<FieldError>> {
        match self.said(cells, columns)? {
            Some(id) if !self.is_active(id) => Err(FieldError::unknown_reference(&format!("/{}", columns[0])).into()),
            named => Ok(named),
        }
    }

    /// An id is answered as it stands; a code and a path are those of active organizations.
    fn said(&self, cells: &Cells, [id, code, path]: [&str; 3]) -> Result<Option<OrganizationId>, Box<FieldError>> {
        if let Some(id) = cells.parsed::<uuid::Uuid>(id) {
            return Ok(Some(OrganizationId(id)));
        }
        if let Some(said) = cells.text(code) {
            let found = self.by_code.get(said).copied().map(Some);
            return found.ok_or_else(|| FieldError::unknown_reference(&format!("/{code}")).into());
        }
        let Some(said) = cells.text(path) else { return Ok(None) };
        match self.by_path.get(&self.full(said)) {
            Some(Some(id)) => Ok(Some(*id)),
            Some(None) => Err(ambiguous(&format!("/{path}")).into()),
            None => Err(FieldError::unknown_reference(&format!("/{path}")).into()),
        }
    }

    /// Whether something below the place lies below `above`, or is it. What is not below the place is above it, and above
    /// everything here.
    fn is_below(&self, id: OrganizationId, above: OrganizationId) -> bool {
        let parent = |id: &OrganizationId| self.nodes.get(id).and_then(|node| node.parent_id);
        !self.nodes.contains_key(&above) || std::iter::successors(Some(id), parent).any(|at| at == above)
    }

    /// The full path of an organization, from the top of the whole tree.
    pub fn path(&self, id: OrganizationId) -> String {
        self.path_of.get(&id).cloned().unwrap_or_default()
    }
}

/// Columns in which a row names its organization.
const ORGANIZATION: [&str; 3] = ["organization_id", "organization_code", "organization_path"];

fn ambiguous(pointer: &str) -> FieldError {
    FieldError::at(pointer, "ambiguous", "有多个组织符合，请改用代码或 ID", "fits several organizations; use a code or an id")
}

fn taken(pointer: &str) -> FieldError {
    FieldError::at(pointer, "taken", "已被占用", "is taken already")
}

/// A row that says what an earlier one has said.
pub fn repeated(pointer: &str, first: i32) -> FieldError {
    let zh = format!("与第 {first} 行重复");
    FieldError::at(pointer, "repeated_row", zh, format!("says the same as row {first}"))
}

/// Why a row names no organization although it has to.
pub fn missing() -> FieldError {
    FieldError::at(
        "/organization_path",
        "required",
        "请填写组织 ID、组织代码或组织全路径",
        "give the organization's id, code or full path",
    )
}
