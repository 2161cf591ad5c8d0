//! The rows of a table as the tree that they are going to be: what of them is known, and who hangs below whom.

use std::collections::HashMap;

use uuid::Uuid;

use super::super::{Tree, ambiguous, repeated};
use crate::http::FieldError;
use crate::ids::OrganizationId;
use crate::imports::Row;
use crate::organizations::rules::{OrganizationKind, OrganizationLevel, OrganizationStatus, check_placement};

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
pub struct Entry {
    pub number: i32,
    pub faulty: bool,
    id: Option<OrganizationId>,
    pub name: String,
    pub kind: Option<OrganizationKind>,
    pub level: Option<OrganizationLevel>,
    code: Option<String>,
    said: Said,
    /// What it says that it is, or was.
    status: OrganizationStatus,
    /// What there is already.
    pub known: Option<OrganizationId>,
    /// What it is going to be.
    pub new: OrganizationId,
    parent: Parent,
    pub depth: usize,
}

impl Entry {
    /// What a row says.
    pub fn of(row: &Row) -> Self {
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
            status: cells.parsed("status").unwrap_or(OrganizationStatus::Active),
            known: None,
            new: OrganizationId::generate(),
            parent: Parent::None,
            depth: 0,
        }
    }

    fn organization(&self) -> OrganizationId {
        self.known.unwrap_or(self.new)
    }

    /// Whether it is no more, by what the row says.
    fn ended(&self) -> bool {
        self.status != OrganizationStatus::Active
    }
}

/// The rows and what they hang below.
pub struct Forest {
    pub tree: Tree,
    pub entries: Vec<Entry>,
}

impl Forest {
    /// Finds what is known and who hangs below whom; what cannot be is told. A row below a row that is wrong is passed over in
    /// silence: it is told when that one is right.
    pub fn grow(&mut self, place: OrganizationId) -> Vec<(i32, FieldError)> {
        let mut faults = Vec::new();
        let (mut by_id, mut codes, mut ended_codes) = (HashMap::new(), HashMap::new(), HashMap::new());
        for (index, entry) in self.entries.iter_mut().enumerate() {
            let first = entry.id.map(|id| *by_id.entry(id).or_insert((index, entry.number)));
            if let Some((_, number)) = first.filter(|(first, _)| *first != index) {
                entry.faulty = true;
                faults.push((entry.number, repeated("/id", number)));
                continue;
            }
            let by_number = entry.id.filter(|id| self.tree.nodes.contains_key(id));
            if let Some(code) = &entry.code {
                let rows = if entry.ended() { &mut ended_codes } else { &mut codes };
                rows.entry(code.clone()).or_insert(index);
            }
            // What is no more has left its code to others.
            let coded = self.tree.coded(entry).filter(|_| !entry.ended());
            entry.known = by_number.or(coded);
        }
        let by_code = |code: &String| codes.get(code).or_else(|| ended_codes.get(code)).copied();
        for index in 0..self.entries.len() {
            self.entries[index].parent = self.parent_by_id_or_code(index, &by_id, by_code);
        }
        let paths = self.paths();
        for (index, path) in paths.own.iter().enumerate() {
            let entry = &mut self.entries[index];
            if let (Said::Path(said), None) = (&entry.said, entry.known.filter(|known| *known == place)) {
                entry.parent = paths.parent(&self.tree, &self.tree.full(said), entry.ended());
            }
            let Some(path) = path.as_ref().filter(|_| entry.known.is_none()) else { continue };
            let first = paths.rows(entry.ended()).get(path).filter(|first| **first != index);
            if let Some(first) = first.filter(|_| !entry.faulty) {
                entry.faulty = true;
                faults.push((entry.number, repeated("/name", paths.numbers[*first])));
                continue;
            }
            let known = self.tree.paths(entry.ended()).get(path).copied();
            if known == Some(None) && !entry.faulty {
                entry.faulty = true;
                faults.push((entry.number, ambiguous("/name")));
                continue;
            }
            // Who calls dissolved what works here, and nothing else of the table is that, means this one.
            let coded = entry.code.as_ref().filter(|code| entry.ended() && !codes.contains_key(*code));
            let coded = coded.and_then(|_| self.tree.coded(entry));
            let named = self.tree.paths(false).get(path).filter(|_| entry.ended() && !paths.active.contains_key(path));
            entry.known = known.flatten().or(coded).or(named.copied().flatten());
        }
        self.settle(place, &mut faults);
        faults
    }

    fn parent_by_id_or_code(
        &self,
        index: usize,
        by_id: &HashMap<OrganizationId, (usize, i32)>,
        by_code: impl Fn(&String) -> Option<usize>,
    ) -> Parent {
        let entry = &self.entries[index];
        match &entry.said {
            Said::Nothing | Said::Path(_) => Parent::None,
            Said::Id(id) if self.tree.is_active(*id) || (entry.ended() && self.tree.contains(*id)) => Parent::Known(*id),
            Said::Id(id) => by_id.get(id).map_or(Parent::Unknown, |(parent, _)| Parent::Row(*parent)),
            Said::Code(code) => match (self.tree.by_code.get(code), by_code(code)) {
                (Some(id), _) => Parent::Known(*id),
                (None, Some(parent)) => Parent::Row(parent),
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
        let (mut active, mut ended) = (HashMap::new(), HashMap::new());
        for (index, path) in own.iter().enumerate() {
            let entry = &self.entries[index];
            let had = entry.known.map(|known| self.tree.path(known));
            let rows = if entry.ended() { &mut ended } else { &mut active };
            for path in had.into_iter().chain(path.clone()) {
                rows.entry(path).or_insert(index);
            }
        }
        let numbers = self.entries.iter().map(|entry| entry.number).collect();
        Paths { own, active, ended, numbers }
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
            // The table tells that it was merged, and has no column for into what.
            (_, None) if entry.status == OrganizationStatus::Merged => {
                let (zh, en) = ("已合并的组织不能导入", "a merged organization cannot be imported");
                return Some(FieldError::at("/status", "merged", zh, en));
            }
            (Parent::Row(parent), None) if !entry.ended() && !self.works(parent) => {
                return Some(FieldError::unknown_reference(pointer));
            }
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

    /// Whether an organization of the table works: as it is known, else as its row says.
    fn works(&self, index: usize) -> bool {
        let entry = &self.entries[index];
        entry.known.map_or(!entry.ended(), |known| self.tree.is_active(known))
    }

    /// Kind, level and division of a row's parent.
    pub fn parent_of(&self, index: usize) -> Option<(OrganizationKind, OrganizationLevel, Option<&str>)> {
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

    /// Below what a row hangs.
    pub fn parent_id(&self, index: usize) -> Option<OrganizationId> {
        match self.entries[index].parent {
            Parent::Known(id) => Some(id),
            Parent::Row(parent) => Some(self.entries[parent].organization()),
            _ => None,
        }
    }
}

impl Tree {
    /// The organization of a row's kind that works and has its code.
    fn coded(&self, entry: &Entry) -> Option<OrganizationId> {
        let id = self.by_code.get(entry.code.as_ref()?)?;
        self.nodes.get(id).filter(|node| Some(node.kind) == entry.kind).map(|node| node.id)
    }
}

/// The path of each row, and which row has a path: of what works, and of what is no more and may be told beside it.
struct Paths {
    own: Vec<Option<String>>,
    active: HashMap<String, usize>,
    ended: HashMap<String, usize>,
    numbers: Vec<i32>,
}

impl Paths {
    fn rows(&self, ended: bool) -> &HashMap<String, usize> {
        if ended { &self.ended } else { &self.active }
    }

    /// Who has the path that a row names: what works before what is no more, below which only what is no more may hang.
    fn parent(&self, tree: &Tree, path: &str, ended: bool) -> Parent {
        let of = |known: &Option<OrganizationId>| known.map_or(Parent::Ambiguous, Parent::Known);
        let row = self.active.get(path).or_else(|| self.ended.get(path)).map(|row| Parent::Row(*row));
        let known = tree.paths(false).get(path).map(of).or(row);
        known.or_else(|| tree.paths(true).get(path).filter(|_| ended).map(of)).unwrap_or(Parent::Unknown)
    }
}

fn moved(pointer: &str) -> FieldError {
    FieldError::at(
        pointer,
        "by_action",
        "与现有上级不同；导入不调整上级，请使用“调整上级”",
        "is another parent than it has; imports do not move organizations",
    )
}
