//! How organizations end and begin: merging, splitting, dissolving, reactivating, under the lock of the tree. What they share is
//! here: the beginning of each command, the successor, what is handed over, the answer. With `preview` a command does everything,
//! answers what it did and takes all of it back.

mod contacts;
pub mod dissolve;
mod hand_over;
pub mod merge;
pub mod reactivate;
pub mod split;

use serde::Serialize;
use utoipa::ToSchema;

use super::OrganizationReference;
use super::history::{Told, tell};
use super::organizations::OrganizationView;
use super::organizations::write::check_step;
use crate::http::{ApiError, ApiResult, FieldError, Reply, Tx};
use crate::ids::OrganizationId;
use crate::organizations::rules::{
    Effects, IrreversibleFact, OrganizationEventKind, OrganizationStatus, OrganizationStep, irreversible,
};
use crate::organizations::store::organizations::{self as store, Organization};
use crate::organizations::store::tree;

/// An organization after a merger, split or dissolution, or as it would be.
#[derive(Serialize, ToSchema)]
pub struct SuccessionView {
    /// The organization.
    #[serde(flatten)]
    pub organization: OrganizationView,
    /// true: nothing was changed; this is what would be.
    pub preview: bool,
    /// What was done, in numbers.
    pub effects: Effects,
    /// What no other operation takes back.
    #[schema(max_items = 20)]
    pub irreversible: Vec<IrreversibleView>,
    /// Organizations that were made.
    #[schema(max_items = 20)]
    pub created: Vec<OrganizationReference>,
}

/// Something that no other operation takes back.
#[derive(Serialize, ToSchema)]
pub struct IrreversibleView {
    /// Stable code.
    pub code: IrreversibleFact,
    /// The fact in Chinese.
    #[schema(examples("关闭的阵地不能重新开放"), max_length = 200, pattern = "^[^\\x00-\\x1f]+$")]
    pub zh: String,
    /// The fact in English.
    #[schema(examples("Sites that close cannot be opened again"), max_length = 200, pattern = "^[^\\x00-\\x1f]+$")]
    pub en: String,
}

impl IrreversibleView {
    /// A fact, in both languages.
    pub fn of(fact: IrreversibleFact) -> Self {
        let label = IrreversibleFact::LABELS.iter().find(|(code, ..)| *code == fact.as_str());
        let (zh, en) = label.map_or(("", ""), |(_, zh, en)| (zh, en));
        Self { code: fact, zh: zh.to_owned(), en: en.to_owned() }
    }
}

/// The organization of a command on the tree, locked with the tree: in scope, permitted, of the version read, in a state that
/// allows the step. Only who may do it waits for the lock of the tree, and what she may do is looked at again under it: with the
/// organization, and with the other one that the field `other` of the body names.
pub async fn begin(tx: &mut Tx, id: OrganizationId, step: OrganizationStep, other: Option<&str>) -> ApiResult<Organization> {
    let scope = tx.scope();
    store::find(tx.conn(), &scope, id).await?;
    tx.require(id).await?;
    tree::lock_alone(tx.conn()).await?;
    let before = store::lock(tx.conn(), &scope, id).await?;
    tx.require(id).await?;
    // Who moves her own top away would move it out of her own hands.
    if let (OrganizationStep::Move, Some(parent)) = (step, before.parent_id) {
        tx.require(parent).await?;
    }
    if let Some(field) = other {
        tx.require_at(field).await?;
    }
    tx.check_version(before.version)?;
    check_step(&before, step)?;
    Ok(before)
}

/// Another organization that takes something over: locked, active, and one that the caller may write.
async fn taking_over(tx: &mut Tx, id: OrganizationId, pointer: &str) -> ApiResult<Organization> {
    let scope = tx.scope();
    let found = store::lock_other(tx.conn(), &scope, id).await?;
    let Some(found) = found.filter(|found| found.status == OrganizationStatus::Active) else {
        return Err(ApiError::invalid(vec![FieldError::unknown_reference(pointer)]));
    };
    tx.require(found.id).await?;
    Ok(found)
}

/// Nothing is handed over into the subtree of the organization itself.
async fn in_own_subtree(tx: &mut Tx, id: OrganizationId, other: OrganizationId, pointer: &str) -> ApiResult<Option<FieldError>> {
    let cycle = tree::is_below(tx.conn(), other, id).await?;
    let fault = || FieldError::at(pointer, "cycle", "不能是该组织自己或其下级", "is the organization itself, or lies below it");
    Ok(cycle.then(fault))
}

/// Tells both organizations of what happened between them.
async fn tell_both(
    tx: &mut Tx,
    (before, after, kind): (&Organization, &Organization, OrganizationEventKind),
    (other_before, other_after, other_kind): (&Organization, &Organization, OrganizationEventKind),
    reason: &str,
) -> ApiResult<()> {
    let (id, other) = (after.id, other_after.id);
    tell(tx, Told { kind, before: Some(before), after, other: Some(other), reason: Some(reason) }).await?;
    let told = Told { kind: other_kind, before: Some(other_before), after: other_after, other: Some(id), reason: Some(reason) };
    tell(tx, told).await
}

/// What a command on an organization did.
struct Outcome {
    step: OrganizationStep,
    before: Organization,
    after: Organization,
    effects: Effects,
    created: Vec<Organization>,
}

impl Outcome {
    /// The answer; a preview is taken back, and its ETag is that of what there is.
    async fn reply(self, tx: &mut Tx, preview: bool) -> ApiResult<Reply> {
        if preview {
            tx.rehearse();
        }
        let (call, version) = (tx.call.clone(), if preview { self.before.version } else { self.after.version });
        let facts = irreversible(self.step, &self.effects);
        let reference =
            |row: Organization| OrganizationReference { id: row.id, name: row.name, kind: row.kind, level: row.level };
        let view = SuccessionView {
            organization: OrganizationView::load(&call, tx.conn(), self.after).await?,
            preview,
            effects: self.effects,
            irreversible: facts.into_iter().map(IrreversibleView::of).collect(),
            created: self.created.into_iter().map(reference).collect(),
        };
        Reply::item(&view, version)
    }
}
