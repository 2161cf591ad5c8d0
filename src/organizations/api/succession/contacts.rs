//! What becomes of contact assignments when the posts by which they are, or the organizations that have them, go on elsewhere.

use serde_json::json;

use crate::audit::Change;
use crate::http::{ApiResult, Tx};
use crate::ids::{OrganizationId, PostId};
use crate::organizations::rules::{ContactFate, Effects, contact_fate};
use crate::organizations::store::succession::{self, OpenAssignment};

/// A post that is over, and the one by which she goes on.
pub struct PostOver {
    pub post: PostId,
    pub next: Option<PostId>,
}

/// Gives the open assignments by these posts to the posts that follow them; where `whole`, also the contact system and the area of
/// `from` to `to`. What does not fit there ends, or lapses with its post. Call it when everything else has been handed over.
pub async fn follow(
    tx: &mut Tx,
    (from, to): (OrganizationId, Option<OrganizationId>),
    whole: bool,
    posts: &[PostOver],
    reason: &str,
    effects: &mut Effects,
) -> ApiResult<()> {
    let today = tx.today();
    if let Some(to) = to {
        let (over, next): (Vec<_>, Vec<_>) = posts.iter().filter_map(|over| Some((over.post, over.next?))).unzip();
        let open = succession::assignments(tx.conn(), (from, to), whole, (&over, &next), today).await?;
        let with = |fate: ContactFate| -> Vec<&OpenAssignment> {
            open.iter().filter(|one| contact_fate(one.fits, one.twice, one.post_over) == fate).collect()
        };
        move_on(tx, &with(ContactFate::Move), reason, effects).await?;
        end(tx, &with(ContactFate::End), reason, effects).await?;
    }
    let over: Vec<PostId> = posts.iter().map(|over| over.post).collect();
    effects.assignments_lapsed += succession::count_assignments(tx.conn(), &over, today).await?;
    Ok(())
}

async fn move_on(tx: &mut Tx, moving: &[&OpenAssignment], reason: &str, effects: &mut Effects) -> ApiResult<()> {
    let now = tx.now();
    succession::move_assignments(tx.conn(), moving, now).await?;
    effects.assignments_moved += moving.len() as i64;
    let change = |one: &&OpenAssignment| {
        let before = json!({ "organization_id": one.organization_id, "area_organization_id": one.area_organization_id,
                             "post_id": one.post_id });
        let after = json!({ "organization_id": one.next_organization_id, "area_organization_id": one.next_area_id,
                            "post_id": one.next_post_id });
        let change = Change::of("contact_assignment.moved", "contact_assignment", one.id, one.next_organization_id);
        change.before(&before).after(&after).because(reason)
    };
    tx.record_all(moving.iter().map(change).collect()).await
}

async fn end(tx: &mut Tx, ending: &[&OpenAssignment], reason: &str, effects: &mut Effects) -> ApiResult<()> {
    let (now, today) = (tx.now(), tx.today());
    let ids: Vec<_> = ending.iter().map(|one| one.id).collect();
    let ended = succession::end_assignments(tx.conn(), &ids, today.pred_opt().unwrap_or(today), reason, now).await?;
    effects.assignments_ended += ended.len() as i64;
    let change = |one: &&OpenAssignment| {
        let last_day = ended.iter().find(|ended| ended.id == one.id).map(|ended| ended.to_on);
        let change = Change::of("contact_assignment.ended", "contact_assignment", one.id, one.organization_id);
        change.before(&json!({ "to_on": one.to_on })).after(&json!({ "to_on": last_day })).because(reason)
    };
    tx.record_all(ending.iter().map(change).collect()).await
}
