//! Splitting new organizations off from one.

use actix_web::post;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::super::history::{Told, tell};
use super::super::organizations::UNIQUE;
use super::super::organizations::write::{check_codes, check_place};
use super::super::{Faults, taken};
use super::contacts::{self, PostOver};
use super::hand_over::{check_ids, move_child, move_post, move_site, term};
use super::{Outcome, SuccessionView, begin, taking_over};
use crate::http::{ApiError, ApiResult, Command, CommandHeaders, Path, Reply, Tx};
use crate::ids::{OrganizationId, PostId, SiteId};
use crate::organizations::rules::{Effects, OrganizationEventKind, OrganizationStep, PostStrategy, fate_of};
use crate::organizations::seed::blank;
use crate::organizations::store::organizations::{self as store, Organization};
use crate::organizations::store::posts::Post;
use crate::organizations::store::sites::Site;
use crate::organizations::store::succession;

/// Path of an organization that the examples may split: a township.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct SplitOrganizationPath {
    /// Its id.
    #[param(example = "0168028c-2f00-7000-8000-430602001000")]
    pub id: OrganizationId,
}

/// Which organizations are split off.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({
    "organizations": [{
        "name": "洞庭新区街道妇联",
        "short_name": null,
        "division_code": null,
        "uscc": null,
        "approval_document": "岳楼妇发〔2019〕4号",
        "child_ids": ["0168028c-2f00-7000-8000-430602001002"],
        "post_ids": [],
        "site_ids": ["0168028c-2f00-7000-8003-000000000002"]
    }],
    "reason": "街道析置",
    "preview": false
})))]
pub struct SplitOrganization {
    /// The new organizations, of the same kind and level and below the same parent.
    #[schema(min_items = 1, max_items = 20)]
    pub organizations: Vec<NewPart>,
    /// Why.
    #[schema(min_length = 1, max_length = 500, pattern = "^[^\\x00-\\x1f]+$")]
    pub reason: String,
    /// true: only tell what would happen; nothing is changed, and the Idempotency-Key stays free.
    #[serde(default)]
    pub preview: bool,
}

/// One new organization and what goes to it.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPart {
    /// Official name.
    #[schema(examples("洞庭新区街道妇联"), min_length = 2, max_length = 100, pattern = "^[^\\x00-\\x1f]+$")]
    pub name: String,
    /// Short name.
    #[schema(min_length = 1, max_length = 50, pattern = "^[^\\x00-\\x1f]+$")]
    pub short_name: Option<String>,
    /// Its division.
    #[schema(min_length = 6, max_length = 12, pattern = "^[0-9]{6}([0-9]{3}([0-9]{3})?)?$")]
    pub division_code: Option<String>,
    /// Unified social credit code.
    #[schema(min_length = 18, max_length = 18, pattern = "^[0-9A-Z]+$")]
    pub uscc: Option<String>,
    /// Document that approved it.
    #[schema(min_length = 1, max_length = 100, pattern = "^[^\\x00-\\x1f]+$")]
    pub approval_document: Option<String>,
    /// Active children that hang below it from today.
    #[serde(default)]
    #[schema(max_items = 500)]
    pub child_ids: Vec<OrganizationId>,
    /// Posts, held or about to begin, that go on in it from today.
    #[serde(default)]
    #[schema(max_items = 500)]
    pub post_ids: Vec<PostId>,
    /// Open sites that it runs from today.
    #[serde(default)]
    #[schema(max_items = 500)]
    pub site_ids: Vec<SiteId>,
}

/// 拆分组织 · Split an organization
///
/// Makes one or more new organizations beside an organization and gives them the children, posts and sites that are named, all or
/// nothing. What is not named stays, people and accounts too; contact assignments go with the posts where their area goes too. To end the organization, dissolve it with a successor afterwards.
/// With `preview: true` nothing changes, and the answer tells what would: numbers, and what cannot be undone.
#[utoipa::path(
    tag = "organizations",
    params(SplitOrganizationPath, CommandHeaders),
    request_body = SplitOrganization,
    responses((status = OK, body = SuccessionView, description = "The organization, and in `created` the new ones."))
)]
#[post("/api/v1/organizations/{id}/split")]
pub async fn split_organization(command: Command, path: Path<SplitOrganizationPath>) -> ApiResult<Reply> {
    let id = path.id;
    command
        .run(async move |tx| {
            let before = begin(tx, id, OrganizationStep::Split, None).await?;
            let body: SplitOrganization = tx.body()?;
            let parent = before.parent_id.ok_or_else(|| ApiError::internal("the top of the tree was to be split"))?;
            let parent = taking_over(tx, parent, "").await?;
            let has = Possessions::load(tx, id).await?;
            check_parts(tx, &before, &parent, &has, &body.organizations).await?;
            let mut effects = Effects::default();
            let mut created = Vec::new();
            for (index, part) in body.organizations.into_iter().enumerate() {
                let made = make(tx, &before, &part).await.map_err(|error| error.below(&format!("/organizations/{index}")))?;
                let told = |kind, after, other| Told { kind, before: None, after, other, reason: Some(&body.reason) };
                tell(tx, told(OrganizationEventKind::Created, &made, None)).await?;
                tell(tx, told(OrganizationEventKind::SplitOff, &made, Some(id))).await?;
                tell(tx, told(OrganizationEventKind::Split, &before, Some(made.id))).await?;
                let over = hand_out(tx, &has, &part, &made, &body.reason, &mut effects).await?;
                contacts::follow(tx, (id, Some(made.id)), false, &over, &body.reason, &mut effects).await?;
                created.push(made);
            }
            effects.organizations_created = created.len() as i64;
            let now = tx.now();
            let after = store::touch(tx.conn(), id, now).await?;
            let outcome = Outcome { step: OrganizationStep::Split, before, after, effects, created };
            outcome.reply(tx, body.preview).await
        })
        .await
}

/// What an organization has that can go to another.
struct Possessions {
    children: Vec<Organization>,
    posts: Vec<Post>,
    sites: Vec<Site>,
}

impl Possessions {
    async fn load(tx: &mut Tx, id: OrganizationId) -> ApiResult<Self> {
        let today = tx.today();
        Ok(Self {
            children: succession::active_children(tx.conn(), id).await?,
            posts: succession::open_posts(tx.conn(), id, today).await?,
            sites: succession::open_sites(tx.conn(), id).await?,
        })
    }
}

/// Every new organization may stand there, and what goes to it is there to go and goes to one of them only.
async fn check_parts(
    tx: &mut Tx,
    from: &Organization,
    parent: &Organization,
    has: &Possessions,
    parts: &[NewPart],
) -> ApiResult<()> {
    let mut faults = Faults::default();
    for (index, part) in parts.iter().enumerate() {
        let mut own = Faults::default();
        let code = part.division_code.as_deref();
        check_place(&mut own, from.kind, from.level, parent, code);
        check_codes(tx, &mut own, code, part.uscc.as_deref()).await?;
        let earlier = &parts[..index];
        let children: Vec<_> = earlier.iter().flat_map(|part| part.child_ids.iter().copied()).collect();
        check_ids(&mut own, "child_ids", &part.child_ids, &children, |id| has.children.iter().any(|row| row.id == id));
        let posts: Vec<_> = earlier.iter().flat_map(|part| part.post_ids.iter().copied()).collect();
        check_ids(&mut own, "post_ids", &part.post_ids, &posts, |id| has.posts.iter().any(|row| row.id == id));
        let sites: Vec<_> = earlier.iter().flat_map(|part| part.site_ids.iter().copied()).collect();
        check_ids(&mut own, "site_ids", &part.site_ids, &sites, |id| has.sites.iter().any(|row| row.id == id));
        faults.nest(&format!("/organizations/{index}"), own);
    }
    faults.done()
}

async fn make(tx: &mut Tx, from: &Organization, part: &NewPart) -> ApiResult<Organization> {
    let (now, today) = (tx.now(), tx.today());
    let row = Organization {
        short_name: part.short_name.clone(),
        parent_id: from.parent_id,
        host_name: from.host_name.clone(),
        division_code: part.division_code.clone(),
        uscc: part.uscc.clone(),
        founded_on: Some(today),
        approval_document: part.approval_document.clone(),
        ..blank(OrganizationId::generate(), from.kind, from.level, &part.name, now)
    };
    let inserted = store::insert(tx.conn(), &row, today).await;
    inserted.map_err(|error| taken(error, UNIQUE))
}

/// Gives a new organization what was named for it. Answers which posts are over.
async fn hand_out(
    tx: &mut Tx,
    has: &Possessions,
    part: &NewPart,
    made: &Organization,
    reason: &str,
    effects: &mut Effects,
) -> ApiResult<Vec<PostOver>> {
    let (today, mut over) = (tx.today(), Vec::new());
    for child in has.children.iter().filter(|row| part.child_ids.contains(&row.id)) {
        move_child(tx, child.clone(), made, reason, effects).await?;
    }
    for post in has.posts.iter().filter(|row| part.post_ids.contains(&row.id)) {
        // Nobody holds a post there yet that could stand in the way.
        let fate = fate_of(&term(post), PostStrategy::Move, &[], today).map_err(ApiError::internal)?;
        over.extend(move_post(tx, post.clone(), fate, Some(made.id), reason, effects).await?);
    }
    for site in has.sites.iter().filter(|row| part.site_ids.contains(&row.id)) {
        move_site(tx, site.clone(), made.id, reason, effects).await?;
    }
    Ok(over)
}
