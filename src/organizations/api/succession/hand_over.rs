//! What an organization that ends or splits hands over: children, posts, sites, people, units of the coverage, contact assignments.
//! Each object tells its own audit trail.

use chrono::NaiveDate;
use serde_json::json;

use super::super::Faults;
use super::super::coverage;
use super::super::history::{Told, tell};
use super::super::organizations::write::check_parent;
use super::super::taken;
use super::contacts::{self, PostOver};
use crate::accounts;
use crate::audit::Change;
use crate::http::{ApiError, ApiResult, Code, FieldError, Tx};
use crate::ids::{OrganizationId, PostId};
use crate::organizations::rules::{
    AccountStrategy, ChildStrategy, Effects, OrganizationEventKind, PostFate, PostStrategy, SiteStrategy, Term, fate_of,
    kept_code,
};
use crate::organizations::store::organizations::{self as store, Organization};
use crate::organizations::store::posts::{self, Post};
use crate::organizations::store::sites::{self, Site};
use crate::organizations::store::{people, succession};
use crate::work_items::{self, POST_EXPIRING};

/// What becomes of what an organization has. None: it stays where it is.
#[derive(Default)]
pub struct Strategies {
    pub children: Option<ChildStrategy>,
    pub posts: Option<PostStrategy>,
    pub sites: Option<SiteStrategy>,
    pub accounts: Option<AccountStrategy>,
}

impl Strategies {
    /// Fields that move something, for which somebody has to take over.
    pub fn moving(&self) -> Vec<&'static str> {
        let moves = [
            ("/children", self.children == Some(ChildStrategy::Move)),
            ("/posts", self.posts == Some(PostStrategy::Move)),
            ("/sites", self.sites == Some(SiteStrategy::Move)),
            ("/accounts", self.accounts == Some(AccountStrategy::Move)),
        ];
        moves.into_iter().filter(|(_, moves)| *moves).map(|(field, _)| field).collect()
    }
}

/// Hands over all that an organization has. `to` is told at `pointer` where a child may not hang below it.
pub async fn hand_over(
    tx: &mut Tx,
    from: &Organization,
    to: Option<(&Organization, &str)>,
    how: &Strategies,
    reason: &str,
) -> ApiResult<Effects> {
    let mut effects = Effects::default();
    let today = tx.today();
    if let (Some(ChildStrategy::Move), Some((to, pointer))) = (how.children, to) {
        let children = succession::active_children(tx.conn(), from.id).await?;
        let misplaced = children.iter().find_map(|child| check_parent(child.kind, child.level, to).map(|fault| (child, fault)));
        if let Some((child, fault)) = misplaced {
            let params = json!({ "organization_id": child.id, "name": child.name });
            let fault = FieldError::at(pointer, "placement", fault.message.zh, fault.message.en).with_params(params);
            return Err(ApiError::invalid(vec![fault]));
        }
        for child in children {
            move_child(tx, child, to, reason, &mut effects).await?;
        }
    }
    let target = to.map(|(to, _)| to.id);
    let mut over: Vec<PostOver> = Vec::new();
    if let Some(strategy) = how.posts {
        let open = succession::open_posts(tx.conn(), from.id, today).await?;
        let there = match target.filter(|_| strategy == PostStrategy::Move) {
            Some(to) => succession::open_posts(tx.conn(), to, today).await?,
            None => vec![],
        };
        let there: Vec<Term> = there.iter().map(term).collect();
        for post in open {
            match fate_of(&term(&post), strategy, &there, today) {
                Ok(fate) => over.extend(move_post(tx, post, fate, target, reason, &mut effects).await?),
                Err(chair) => return Err(second_chair(tx, &post, chair).await?),
            }
        }
    }
    if let Some(strategy) = how.sites {
        for site in succession::open_sites(tx.conn(), from.id).await? {
            match (strategy, target) {
                (SiteStrategy::Move, Some(to)) => move_site(tx, site, to, reason, &mut effects).await?,
                _ => close_site(tx, site, today, reason, &mut effects).await?,
            }
        }
    }
    if let Some(to) = target {
        let now = tx.now();
        let people = succession::move_people(tx.conn(), from.id, to, now).await?;
        effects.people_moved = people.len() as i64;
        let told = people.into_iter().map(|person| moved("person", person.0, (from.id, to), reason));
        tx.record_all(told.collect()).await?;
        effects.coverage_units_moved = coverage::write::hand_over(tx, from.id, to, reason).await?;
    }
    contacts::follow(tx, (from.id, target), true, &over, reason, &mut effects).await?;
    match (how.accounts, target) {
        (Some(AccountStrategy::Disable), _) => effects.accounts_disabled = accounts::disable_kept(tx, from.id).await?,
        (Some(AccountStrategy::Move), Some(to)) => {
            (effects.accounts_moved, effects.grants_moved) = accounts::move_kept(tx, from.id, to).await?;
        }
        _ => {}
    }
    Ok(effects)
}

/// A post, as far as it matters for moving it.
pub fn term(post: &Post) -> Term {
    Term { id: post.id, person_id: post.person_id, position: post.position, from_on: post.from_on, to_on: post.to_on }
}

/// A second chair, told at the field with the one there is.
async fn second_chair(tx: &mut Tx, post: &Post, chair: PostId) -> ApiResult<ApiError> {
    let scope = tx.scope();
    let held = posts::find(tx.conn(), &scope, chair).await?;
    let names = people::names(tx.conn(), [post.person_id, held.person_id]).await?;
    let name = |id| names.get(&id).map_or("", String::as_str);
    let (here, there) = (name(post.person_id), name(held.person_id));
    let zh = format!("{here}与承接组织现任主席{there}的任期重叠；请先终止其中一个职务，或选择终止职务");
    let en = format!("{here} and {there}, who chairs the other organization, would be chairs at one time; end one post first");
    let params = json!({ "post_id": post.id, "taken_by_post_id": chair });
    Ok(ApiError::from(Code::Conflict).at(FieldError::at("/posts", "taken", zh, en).with_params(params)))
}

/// Hangs a child below another parent, with the code that fits there.
pub async fn move_child(
    tx: &mut Tx,
    child: Organization,
    to: &Organization,
    reason: &str,
    effects: &mut Effects,
) -> ApiResult<()> {
    let (now, today) = (tx.now(), tx.today());
    let code = kept_code(child.kind, child.division_code.as_deref(), (to.kind, to.division_code.as_deref()));
    effects.children_moved += 1;
    effects.codes_cleared += i64::from(code.is_none() && child.division_code.is_some());
    let after = store::set_parent(tx.conn(), child.id, to.id, code, now, today).await?;
    let kind = OrganizationEventKind::Moved;
    tell(tx, Told { kind, before: Some(&child), after: &after, other: None, reason: Some(reason) }).await
}

/// Lets a post end, go on or begin elsewhere. Answers which one is over, unless it only begins elsewhere.
pub async fn move_post(
    tx: &mut Tx,
    post: Post,
    fate: PostFate,
    to: Option<OrganizationId>,
    reason: &str,
    effects: &mut Effects,
) -> ApiResult<Option<PostOver>> {
    const UNIQUE: &[(&str, &str)] = &[("posts_one_chair", "/posts"), ("posts_once", "/posts")];
    let (now, today, by) = (tx.now(), tx.today(), tx.caller()?.account_id);
    if let (PostFate::Begin, Some(to)) = (fate, to) {
        effects.posts_moved += 1;
        succession::move_post(tx.conn(), post.id, to, now).await.map_err(|error| taken(error, UNIQUE))?;
        tx.record(moved("post", post.id.0, (post.organization_id, to), reason)).await?;
        return Ok(None);
    }
    let last_day = match fate {
        PostFate::End(day) | PostFate::Continue(day) | PostFate::Join(day, _) => day,
        PostFate::Begin => today,
    };
    let ended = posts::end(tx.conn(), post.id, last_day, reason, now).await?;
    work_items::close(tx.conn(), &POST_EXPIRING, post.id.0, Some(by), now).await?;
    let change = Change::of("post.ended", "post", post.id, post.organization_id);
    let change = change.before(&json!({ "to_on": post.to_on })).after(&json!({ "to_on": ended.to_on })).because(reason);
    tx.record(change).await?;
    let Some(to) = to.filter(|_| matches!(fate, PostFate::Continue(_))) else {
        effects.posts_ended += 1;
        let next = if let PostFate::Join(_, there) = fate { Some(there) } else { None };
        return Ok(Some(PostOver { post: post.id, next }));
    };
    effects.posts_moved += 1;
    let over = post.id;
    let next = Post {
        id: PostId::generate(),
        organization_id: to,
        from_on: today,
        version: 1,
        created_at: now,
        updated_at: now,
        ..post
    };
    let next = posts::insert(tx.conn(), &next).await.map_err(|error| taken(error, UNIQUE))?;
    let after = json!({ "person_id": next.person_id, "position": next.position, "from_on": next.from_on, "to_on": next.to_on,
                        "continues": over });
    tx.record(Change::of("post.created", "post", next.id, to).after(&after).because(reason)).await?;
    Ok(Some(PostOver { post: over, next: Some(next.id) }))
}

/// Lets another organization run a site.
pub async fn move_site(tx: &mut Tx, site: Site, to: OrganizationId, reason: &str, effects: &mut Effects) -> ApiResult<()> {
    let (now, today) = (tx.now(), tx.today());
    succession::move_site(tx.conn(), &site, to, now, today).await?;
    effects.sites_moved += 1;
    tx.record(moved("site", site.id.0, (site.owner_organization_id, to), reason)).await
}

async fn close_site(tx: &mut Tx, site: Site, today: NaiveDate, reason: &str, effects: &mut Effects) -> ApiResult<()> {
    let now = tx.now();
    let closed = sites::close(tx.conn(), site.id, today, reason, now).await?;
    effects.sites_closed += 1;
    let change = Change::of("site.closed", "site", site.id, site.owner_organization_id);
    let change = change.before(&json!({ "status": site.status })).after(&json!({ "status": closed.status }));
    tx.record(change.because(reason)).await
}

/// Something belongs to another organization from now on.
fn moved(object_type: &'static str, id: uuid::Uuid, (from, to): (OrganizationId, OrganizationId), reason: &str) -> Change {
    let action = match object_type {
        "post" => "post.moved",
        "site" => "site.moved",
        _ => "person.moved",
    };
    let change = Change::of(action, object_type, id, to).before(&json!({ "organization_id": from }));
    change.after(&json!({ "organization_id": to })).because(reason)
}

/// The faults of ids that are not among those there are, or stand twice.
pub fn check_ids<I: PartialEq + Copy>(faults: &mut Faults, field: &str, ids: &[I], earlier: &[I], there: impl Fn(I) -> bool) {
    for (index, id) in ids.iter().enumerate() {
        let pointer = format!("/{field}/{index}");
        faults.check(there(*id), || FieldError::unknown_reference(&pointer));
        let once = !ids[..index].contains(id) && !earlier.contains(id);
        faults.check(once, || FieldError::at(&pointer, "repeated", "重复", "stands twice"));
    }
}
