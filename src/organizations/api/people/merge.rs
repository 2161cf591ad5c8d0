//! Two records of one person become one.

use actix_web::post;
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

use super::super::succession::IrreversibleView;
use super::PersonView;
use crate::accounts;
use crate::audit::Change;
use crate::http::{ApiError, ApiResult, Code, Command, CommandHeaders, FieldError, Path, Reply, Tx};
use crate::ids::{PersonId, PostId};
use crate::organizations::rules::{
    Chosen, IrreversibleFact, Known, MergeField, MergeRefusal, PersonStatus, PostStatus, choose, overlap,
};
use crate::organizations::store::contacts::{self, Contact};
use crate::organizations::store::people::{self as store, Person};
use crate::organizations::store::posts::{self, Post};
use crate::organizations::store::{person_matches, suggestions};
use crate::work_items::{self, POST_EXPIRING};

/// Most tags of a record.
const MOST_TAGS: usize = 20;

/// Path of the record that the example merges.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub struct MergedPersonPath {
    /// Its id.
    #[param(example = "0168028c-2f00-7000-8001-000000000008")]
    pub id: PersonId,
}

/// Into which record this one is merged.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({
    "into_id": "0168028c-2f00-7000-8001-000000000001",
    "into_version": 1,
    "take": [],
    "reason": "同一人在街道重复建档",
    "preview": false
})))]
pub struct MergePerson {
    /// The record of the same person that goes on.
    pub into_id: PersonId,
    /// Its version that was read; that of the merged one is in If-Match.
    #[schema(minimum = 1)]
    pub into_version: i32,
    /// Fields of which the value of the merged record goes on. What the other record lacks is taken anyway, and tags are joined.
    #[serde(default)]
    #[schema(max_items = 4)]
    pub take: Vec<MergeField>,
    /// Why.
    #[schema(min_length = 1, max_length = 500, pattern = "^[^\\x00-\\x1f]+$")]
    pub reason: String,
    /// true: only tell what would happen; nothing is changed, and the Idempotency-Key stays free.
    #[serde(default)]
    pub preview: bool,
}

/// What a merger of two records does, in numbers.
#[derive(Default, Serialize, ToSchema)]
pub struct PersonEffectsView {
    /// Posts that are hers by the record that goes on.
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    pub posts_moved: i64,
    /// Posts that both records held at one time in one organization: they stay with the merged record and are over.
    #[schema(max_items = 100)]
    pub double_posts: Vec<PostId>,
    /// Contact assignments that are hers by the record that goes on.
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    pub assignments_moved: i64,
    /// Contact assignments for an area that she looks after by the other record already: they stay and are over.
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    pub assignments_ended: i64,
    /// Accounts that are linked to the record that goes on.
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    pub accounts_linked: i64,
    /// Fields of which the value of the merged record goes on.
    #[schema(max_items = 10)]
    pub taken: Vec<String>,
}

/// Two records after a merger, or as they would be.
#[derive(Serialize, ToSchema)]
pub struct PersonMergeView {
    /// The record that has gone into the other.
    pub merged: PersonView,
    /// The record that goes on.
    pub into: PersonView,
    /// true: nothing was changed; this is what would be.
    pub preview: bool,
    /// What was done, in numbers.
    pub effects: PersonEffectsView,
    /// What no other operation takes back.
    #[schema(max_items = 20)]
    pub irreversible: Vec<IrreversibleView>,
}

/// 合并人员档案 · Merge a record into another of the same person
///
/// The record ends as `merged` and tells into which one; posts, contact assignments, tags and the link of accounts go to the other. Posts that both hold at one time in one organization stay behind and are over. Refused where both have an identity number: they are two people. Needs the right over both records. With `preview: true` nothing changes, and the answer tells what would.
#[utoipa::path(
    tag = "people",
    params(MergedPersonPath, CommandHeaders),
    request_body = MergePerson,
    responses((status = OK, body = PersonMergeView, description = "Both records."))
)]
#[post("/api/v1/people/{id}/merge")]
pub async fn merge_person(command: Command, path: Path<MergedPersonPath>) -> ApiResult<Reply> {
    let id = path.id;
    command
        .run(async move |tx| {
            let (scope, today) = (tx.scope(), tx.today());
            // Both are locked at once, in the order of their ids, before what is wrong with the body is told.
            let other: Option<PersonId> = tx.call.field("into_id");
            let both: Vec<PersonId> = [Some(id), other].into_iter().flatten().collect();
            let mut rows = store::lock_all(tx.conn(), &scope, &both, today).await?;
            let place = rows.iter().position(|row| row.id == id).ok_or(Code::NotFound)?;
            let merged = rows.swap_remove(place);
            tx.require(merged.organization_id).await?;
            if let Some(into) = rows.first() {
                tx.require(into.organization_id).await?;
            }
            tx.check_version(merged.version)?;
            if merged.status != PersonStatus::Active {
                return Err(ApiError::not_now(merged.status.as_str(), merged.status.actions()));
            }
            let body: MergePerson = tx.body()?;
            let into = rows.pop().filter(|into| into.id == body.into_id && into.status == PersonStatus::Active);
            let Some(into) = into else { return Err(ApiError::invalid(vec![FieldError::unknown_reference("/into_id")])) };
            tx.check_item_version(body.into_version, into.version)?;
            let chosen = choose(known(&into), known(&merged), &body.take).map_err(|refusal| refused(&body.take, refusal))?;
            let after = joined(&into, &merged, chosen)?;
            let mut effects = PersonEffectsView { taken: taken(chosen), ..PersonEffectsView::default() };
            let dropped = drops(&into, &merged, chosen);
            let hers = move_posts(tx, &merged, &into, &body.reason, &mut effects).await?;
            move_assignments(tx, (&merged, &into), &hers, &body.reason, &mut effects).await?;
            effects.accounts_linked = accounts::link_person(tx, id, into.id).await?;
            let now = tx.now();
            // It gives its numbers away first: they are unique.
            let gone = store::end_merged(tx.conn(), id, into.id, now).await?;
            let kept = store::absorb(tx.conn(), &after, now).await?;
            store::follow(tx.conn(), id, into.id, now).await?;
            suggestions::settle(tx.conn(), id, into.id, now).await?;
            person_matches::suggest(tx.conn(), &[into.id], now).await?;
            let version = if body.preview { merged.version } else { gone.version };
            let call = tx.call.clone();
            let before = [PersonView::load(&call, tx.conn(), merged).await?, PersonView::load(&call, tx.conn(), into).await?];
            let facts = [
                (IrreversibleFact::PersonMerged, true),
                (IrreversibleFact::PostsEnded, !effects.double_posts.is_empty()),
                (IrreversibleFact::ValuesDropped, dropped),
            ];
            let view = PersonMergeView {
                merged: PersonView::load(&call, tx.conn(), gone).await?,
                into: PersonView::load(&call, tx.conn(), kept).await?,
                preview: body.preview,
                effects,
                irreversible: facts.into_iter().filter(|(_, holds)| *holds).map(|(fact, _)| IrreversibleView::of(fact)).collect(),
            };
            let [merged, into] = before;
            let change = Change::of("person.merged", "person", id, merged.organization_id).before(&merged).after(&view.merged);
            tx.record(change.because(&body.reason)).await?;
            let change = Change::of("person.absorbed", "person", into.id, into.organization_id).before(&into).after(&view.into);
            tx.record(change.because(&body.reason)).await?;
            if body.preview {
                tx.rehearse();
            }
            Reply::item(&view, version)
        })
        .await
}

fn known(row: &Person) -> Known {
    Known { sex: row.sex, birth_year: row.birth_year, phone: row.phone.is_some(), id_number: row.id_number.is_some() }
}

fn refused(take: &[MergeField], refusal: MergeRefusal) -> ApiError {
    let field = |index: usize| take.get(index).map_or("", |field| field.as_str());
    match refusal {
        MergeRefusal::TwoIdentityNumbers => {
            let zh = "两份档案各有身份证号码，不是同一人；如其中一个有误，请先更正";
            let en = "both have an identity number, so they are two people; if one of the numbers is wrong, correct it first";
            ApiError::from(Code::Conflict).at(FieldError::at("/into_id", "two_identity_numbers", zh, en))
        }
        MergeRefusal::NothingToTake(index) => {
            let fault = FieldError::at(format!("/take/{index}"), "nothing_to_take", "被合并的档案没有此项", "has no value there");
            ApiError::invalid(vec![fault.with_params(json!({ "field": field(index) }))])
        }
        MergeRefusal::Disagrees(index) => {
            let en = "disagrees with the identity number";
            let fault = FieldError::at(format!("/take/{index}"), "disagrees", "与身份证号码不一致", en);
            ApiError::invalid(vec![fault.with_params(json!({ "field": field(index) }))])
        }
    }
}

/// The record that goes on, as it is then.
fn joined(into: &Person, merged: &Person, chosen: Chosen) -> ApiResult<Person> {
    let mut after = into.clone();
    if chosen.name {
        after.name.clone_from(&merged.name);
    }
    if chosen.sex {
        after.sex = merged.sex;
    }
    if chosen.birth_year {
        after.birth_year = merged.birth_year;
    }
    if chosen.phone {
        (after.phone, after.phone_hash) = (merged.phone.clone(), merged.phone_hash.clone());
        after.phone_masked.clone_from(&merged.phone_masked);
    }
    if chosen.id_number {
        (after.id_number, after.id_number_hash) = (merged.id_number.clone(), merged.id_number_hash.clone());
        after.id_number_masked.clone_from(&merged.id_number_masked);
    }
    after.tags.extend(merged.tags.iter().filter(|tag| !into.tags.contains(tag)).cloned());
    if after.tags.len() > MOST_TAGS {
        let fault = FieldError::at("/into_id", "too_many_tags", "合并后标签超过20个，请先精简", "would have more than 20 tags");
        return Err(ApiError::invalid(vec![fault]));
    }
    Ok(after)
}

/// Names of the fields that the merged record gives.
fn taken(chosen: Chosen) -> Vec<String> {
    let fields = [
        ("name", chosen.name),
        ("sex", chosen.sex),
        ("birth_year", chosen.birth_year),
        ("phone", chosen.phone),
        ("id_number", chosen.id_number),
    ];
    fields.into_iter().filter(|(_, taken)| *taken).map(|(name, _)| name.to_owned()).collect()
}

/// Whether something that one of the two knew is gone: a telephone that does not go on, a value that another takes the place of.
fn drops(into: &Person, merged: &Person, chosen: Chosen) -> bool {
    let phones = (&into.phone_hash, &merged.phone_hash);
    let phone = phones.0 != phones.1 && if chosen.phone { phones.0.is_some() } else { phones.1.is_some() };
    phone
        || (chosen.name && into.name != merged.name)
        || (chosen.sex && into.sex.is_some() && into.sex != merged.sex)
        || (chosen.birth_year && into.birth_year.is_some() && into.birth_year != merged.birth_year)
}

/// The last day of what stays behind: yesterday, or the day on which it was to begin.
fn last_day(today: NaiveDate, from_on: NaiveDate) -> NaiveDate {
    today.pred_opt().unwrap_or(today).max(from_on)
}

/// Her posts by both records, the doubles told as `(double, the one that goes on)`.
async fn move_posts(
    tx: &mut Tx,
    merged: &Person,
    into: &Person,
    reason: &str,
    effects: &mut PersonEffectsView,
) -> ApiResult<Vec<(PostId, PostId)>> {
    let (now, today, by) = (tx.now(), tx.today(), tx.caller()?.account_id);
    let all = posts::lock_of(tx.conn(), &[merged.id, into.id]).await?;
    let (kept, given): (Vec<Post>, Vec<Post>) = all.into_iter().partition(|post| post.person_id == into.id);
    let mut doubles = Vec::new();
    for post in given {
        let same = |other: &&Post| {
            other.organization_id == post.organization_id
                && other.position == post.position
                && overlap((other.from_on, other.to_on), (post.from_on, post.to_on))
        };
        let Some(double) = kept.iter().find(same) else {
            posts::give(tx.conn(), post.id, into.id, now).await?;
            effects.posts_moved += 1;
            let change = Change::of("post.changed", "post", post.id, post.organization_id);
            let change = change.before(&json!({ "person_id": merged.id })).after(&json!({ "person_id": into.id }));
            tx.record(change.because(reason)).await?;
            continue;
        };
        // She holds the position without a gap, and as long as by the one that stays behind.
        let gap = if double.to_on.is_some_and(|last| post.to_on.is_none_or(|longer| longer > last)) {
            let zh = "两份档案在同一组织的同一职务届满日期不同，请先更正将保留的职务";
            let en =
                "both records hold one position in one organization, and the post that would go on ends first; correct it first";
            Some(FieldError::at("/into_id", "post_ends_first", zh, en))
        } else if double.from_on > post.from_on.max(today) {
            let zh = "两份档案在同一组织的同一职务开始日期不同，合并后任期会中断，请先更正将保留的职务";
            let en = "both records hold one position in one organization, and the post that would go on begins later than the \
                      other ends; correct it first";
            Some(FieldError::at("/into_id", "post_begins_later", zh, en))
        } else {
            None
        };
        if let Some(fault) = gap {
            let params = json!({ "post_id": post.id, "double_post_id": double.id });
            return Err(ApiError::from(Code::Conflict).at(fault.with_params(params)));
        }
        doubles.push((post.id, double.id));
        effects.double_posts.push(post.id);
        if PostStatus::on(today, post.from_on, post.to_on) == PostStatus::Ended {
            continue;
        }
        let ended = posts::end(tx.conn(), post.id, last_day(today, post.from_on), reason, now).await?;
        work_items::close(tx.conn(), &POST_EXPIRING, post.id.0, Some(by), now).await?;
        let change = Change::of("post.ended", "post", post.id, post.organization_id);
        let change =
            change.before(&json!({ "to_on": post.to_on })).after(&json!({ "to_on": ended.to_on, "double_of": double.id }));
        tx.record(change.because(reason)).await?;
    }
    Ok(doubles)
}

/// Her contact assignments: by the posts that go on.
async fn move_assignments(
    tx: &mut Tx,
    (merged, into): (&Person, &Person),
    doubles: &[(PostId, PostId)],
    reason: &str,
    effects: &mut PersonEffectsView,
) -> ApiResult<()> {
    let (now, today) = (tx.now(), tx.today());
    let all = contacts::lock_of(tx.conn(), &[merged.id, into.id]).await?;
    let (kept, given): (Vec<Contact>, Vec<Contact>) = all.into_iter().partition(|contact| contact.person_id == into.id);
    let place = |contact: &Contact| contact.area_organization_id.unwrap_or(contact.organization_id);
    for contact in given {
        let same = |other: &&Contact| {
            place(other) == place(&contact)
                && other.area.as_deref().unwrap_or_default() == contact.area.as_deref().unwrap_or_default()
                && overlap((other.from_on, other.to_on), (contact.from_on, contact.to_on))
        };
        let change = |action| Change::of(action, "contact_assignment", contact.id, contact.organization_id).because(reason);
        if !kept.iter().any(|other| same(&other)) {
            let post = doubles.iter().find(|(double, _)| *double == contact.post_id).map_or(contact.post_id, |(_, post)| *post);
            contacts::give(tx.conn(), contact.id, into.id, post, now).await?;
            effects.assignments_moved += 1;
            let change = change("contact_assignment.changed");
            tx.record(change.before(&json!({ "person_id": merged.id })).after(&json!({ "person_id": into.id }))).await?;
        } else if contact.to_on.is_none_or(|last| last >= today) {
            let ended = contacts::end(tx.conn(), contact.id, last_day(today, contact.from_on), reason, now).await?;
            effects.assignments_ended += 1;
            let change = change("contact_assignment.ended");
            tx.record(change.before(&json!({ "to_on": contact.to_on })).after(&json!({ "to_on": ended.to_on }))).await?;
        }
    }
    Ok(())
}
