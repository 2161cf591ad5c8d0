//! The life of an organization: which step may follow which state, what becomes of what it has when it ends, and what cannot be
//! undone. Organizations are never deleted (handbook ): they merge, split, are dissolved and reactivated.

use chrono::NaiveDate;
use serde::Serialize;
use utoipa::ToSchema;

use super::{OrganizationKind, OrganizationLevel, OrganizationStatus, PostPosition, check_division};
use crate::ids::{PersonId, PostId};
use crate::text_enum;

text_enum! {
    /// What happened to an organization.
    OrganizationEventKind {
        /// 成立
        Created = "created", "成立", "Created";
        /// 变更
        Changed = "changed", "信息变更", "Changed";
        /// 调整上级
        Moved = "moved", "调整上级", "Moved";
        /// 并入
        Merged = "merged", "并入其他组织", "Merged into another";
        /// 接收合并
        Absorbed = "absorbed", "接收合并", "Absorbed another";
        /// 拆分
        Split = "split", "拆出新组织", "Split into another";
        /// 由拆分产生
        SplitOff = "split_off", "由拆分产生", "Split off from another";
        /// 撤销
        Dissolved = "dissolved", "撤销", "Dissolved";
        /// 接管
        TookOver = "took_over", "接管被撤销组织", "Took over from another";
        /// 恢复
        Reactivated = "reactivated", "恢复", "Reactivated";
    }
}

text_enum! {
    /// What becomes of posts that are held or about to begin.
    PostStrategy {
        /// Their last day is the day before.
        End = "end", "终止", "End";
        /// They go on in the successor from today.
        Move = "move", "转入承接组织", "Move";
    }
}

text_enum! {
    /// What becomes of open sites.
    SiteStrategy {
        /// They close today.
        Close = "close", "关闭", "Close";
        /// The successor runs them from today.
        Move = "move", "转入承接组织", "Move";
    }
}

text_enum! {
    /// What becomes of accounts and grants.
    AccountStrategy {
        /// Accounts that the organization keeps can no longer sign in.
        Disable = "disable", "停用", "Disable";
        /// The successor keeps the accounts, and grants at the organization become grants at the successor.
        Move = "move", "转入承接组织", "Move";
    }
}

text_enum! {
    /// What becomes of active children.
    ChildStrategy {
        /// They hang below the successor from today.
        Move = "move", "转入承接组织", "Move";
    }
}

/// A step in the life of an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrganizationStep {
    /// What is known of it changes.
    Update,
    /// It hangs below another parent.
    Move,
    /// 撤销
    Dissolve,
    /// 合并
    Merge,
    /// 拆分
    Split,
    /// 恢复
    Reactivate,
}

/// Why a step is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StepRefusal {
    /// The state does not allow it.
    #[error("the current state does not allow this")]
    NotNow,
    /// What was merged has gone into another: its people, posts and children are no longer its own.
    #[error("a merged organization lives on in its successor and cannot be reactivated; split the successor instead")]
    MergedForGood,
    /// The top has no parent below which another could stand beside it.
    #[error("the top of the tree has nobody beside it")]
    Top,
}

impl OrganizationStep {
    /// Every step, in the order of `allowed_actions`.
    pub const ALL: &[Self] = &[Self::Update, Self::Move, Self::Dissolve, Self::Merge, Self::Split, Self::Reactivate];

    /// Its name in `allowed_actions`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Update => "update",
            Self::Move => "move",
            Self::Dissolve => "dissolve",
            Self::Merge => "merge",
            Self::Split => "split",
            Self::Reactivate => "reactivate",
        }
    }
}

impl OrganizationStatus {
    /// The whole life of an organization. Whatever is not listed here is refused.
    pub fn after(self, step: OrganizationStep, is_top: bool) -> Result<Self, StepRefusal> {
        use OrganizationStep::{Dissolve, Merge, Move, Reactivate, Split, Update};
        match (self, step) {
            (Self::Active, Merge | Split) if is_top => Err(StepRefusal::Top),
            (Self::Active, Update | Move | Split) => Ok(Self::Active),
            (Self::Active, Dissolve) => Ok(Self::Dissolved),
            (Self::Active, Merge) => Ok(Self::Merged),
            (Self::Dissolved, Reactivate) => Ok(Self::Active),
            (Self::Merged, Reactivate) => Err(StepRefusal::MergedForGood),
            _ => Err(StepRefusal::NotNow),
        }
    }

    /// What may be done with an organization now, by somebody who may write it.
    pub fn actions(self, is_top: bool) -> Vec<&'static str> {
        let allowed = |step: &&OrganizationStep| self.after(**step, is_top).is_ok();
        OrganizationStep::ALL.iter().filter(allowed).map(|step| step.as_str()).collect()
    }
}

/// Whether one body may merge into another: federations of one level (村村合并, 乡镇合并, a zone into its county), other bodies of
/// one kind. Into anything else a body is dissolved, with a successor.
pub fn may_merge(one: (OrganizationKind, OrganizationLevel), into: (OrganizationKind, OrganizationLevel)) -> bool {
    if one.0.is_federation() && into.0.is_federation() { one.1 == into.1 } else { one.0 == into.0 }
}

/// The division code that a body keeps below another parent: its own where it fits, else none, until the statistics bureau gives
/// it a new one.
pub fn kept_code<'a>(kind: OrganizationKind, code: Option<&'a str>, parent: (OrganizationKind, Option<&str>)) -> Option<&'a str> {
    code.filter(|code| check_division(kind, code, Some(parent)).is_ok())
}

/// A post, as far as it matters for moving it.
#[derive(Debug, Clone)]
pub struct Term {
    /// Which post.
    pub id: PostId,
    /// Who holds it.
    pub person_id: PersonId,
    /// Which position.
    pub position: PostPosition,
    /// First day.
    pub from_on: NaiveDate,
    /// Last day; none: open.
    pub to_on: Option<NaiveDate>,
}

/// What becomes of a post.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PostFate {
    /// This is its last day.
    End(NaiveDate),
    /// It goes on elsewhere from today, and this is its last day here.
    Continue(NaiveDate),
    /// She holds the same there already, and this is its last day here.
    Join(NaiveDate, PostId),
    /// It begins elsewhere: it has not been held here on any day.
    Begin,
}

/// What becomes of an open post of an organization that ends, or the chair `there` that stands in its way: an organization has
/// one chair at a time (handbook ). Whoever holds the same position there already does not hold it twice. The last day is
/// the day before, so that on no day a post is held in an organization that is no more.
pub fn fate_of(post: &Term, strategy: PostStrategy, there: &[Term], today: NaiveDate) -> Result<PostFate, PostId> {
    let yesterday = today.pred_opt().unwrap_or(today);
    let last_day = yesterday.max(post.from_on);
    if strategy == PostStrategy::End {
        return Ok(PostFate::End(last_day));
    }
    let from = post.from_on.max(today);
    let meets = |other: &&Term| {
        other.to_on.is_none_or(|last| from <= last)
            && post.to_on.is_none_or(|last| other.from_on <= last)
            && other.position == post.position
    };
    if let Some(same) = there.iter().filter(meets).find(|other| other.person_id == post.person_id) {
        return Ok(PostFate::Join(last_day, same.id));
    }
    match there.iter().filter(meets).find(|_| post.position == PostPosition::Chair) {
        Some(chair) => Err(chair.id),
        None if post.from_on >= today => Ok(PostFate::Begin),
        None => Ok(PostFate::Continue(yesterday)),
    }
}

/// What becomes of a contact assignment that has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContactFate {
    /// It goes on by the post, in the contact system and for the area of the successor.
    Move,
    /// It is over.
    End,
    /// Its post is over, and somebody decides what becomes of it.
    Lapse,
}

/// What becomes of an assignment whose post, contact system or area goes over to another organization. It `fits` there while the
/// post is of its contact system or above, and its area below. `twice`: she looks after that area already. `post_over`: the
/// post by which she was assigned is over.
pub const fn contact_fate(fits: bool, twice: bool, post_over: bool) -> ContactFate {
    match (fits, twice, post_over) {
        (true, false, _) => ContactFate::Move,
        (false, _, true) => ContactFate::Lapse,
        (true, true, _) | (false, _, false) => ContactFate::End,
    }
}

/// What a merger, split or dissolution does, in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = OrganizationEffectsView)]
pub struct Effects {
    /// Children that hang below another parent from today, with all that is below them.
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    pub children_moved: i64,
    /// Of these, how many lose their division code because it does not fit the new parent.
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    pub codes_cleared: i64,
    /// Posts that go on in another organization.
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    pub posts_moved: i64,
    /// Posts that end.
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    pub posts_ended: i64,
    /// Sites that another organization runs from today.
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    pub sites_moved: i64,
    /// Sites that close.
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    pub sites_closed: i64,
    /// People whose record another organization keeps from today.
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    pub people_moved: i64,
    /// Units of the coverage whose area, or whose women's organization, is the successor's from today.
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    pub coverage_units_moved: i64,
    /// Contact assignments that go on: by a post, in the contact system or for the area of the other organization.
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    pub assignments_moved: i64,
    /// Contact assignments that end: she looks after the other area already, or the other organization lies outside the contact
    /// system.
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    pub assignments_ended: i64,
    /// Contact assignments whose post ends: somebody else has to be assigned.
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    pub assignments_lapsed: i64,
    /// Accounts that another organization keeps from today.
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    pub accounts_moved: i64,
    /// Accounts that are disabled.
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    pub accounts_disabled: i64,
    /// Grants that hold at another organization from today.
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    pub grants_moved: i64,
    /// Organizations that are made.
    #[schema(minimum = 0, maximum = 9007199254740991i64)]
    pub organizations_created: i64,
}

text_enum! {
    /// What no other operation takes back.
    IrreversibleFact {
        /// It cannot be reactivated.
        Merged = "merged", "合并后的组织不能恢复；需要时只能从承接组织拆分", "A merged organization cannot be reactivated; only its successor can be split";
        /// The new organizations stay.
        Created = "created", "新建的组织不能删除，只能撤销或合并", "The new organizations cannot be deleted, only dissolved or merged";
        /// They lose their code.
        CodesCleared = "codes_cleared", "部分下级组织的区划代码与新上级不符，将被清空", "Some children lose their division codes, which do not fit the new parent";
        /// Posts are over.
        PostsEnded = "posts_ended", "终止的职务不能恢复，只能重新任职", "Posts that end cannot be resumed; they have to be filled anew";
        /// They go on as new posts.
        PostsMoved = "posts_moved", "转入的职务在原组织的任期到此为止，并在承接组织成为新的职务", "The term of a post that moves ends here; it goes on as a new post of the other organization";
        /// Sites are closed.
        SitesClosed = "sites_closed", "关闭的阵地不能重新开放", "Sites that close cannot be opened again";
        /// Sessions end.
        AccountsDisabled = "accounts_disabled", "停用的账号立即退出登录；可逐个重新启用", "Accounts that are disabled are signed out at once; they can be enabled again one by one";
        /// Nobody puts grants back.
        GrantsMoved = "grants_moved", "授权转到承接组织后不会自动转回", "Grants that move to the other organization do not move back by themselves";
        /// Two records of a person are one for good.
        PersonMerged = "person_merged", "合并后的人员档案不能再分开", "Records of a person that were merged cannot be taken apart again";
        /// What the record that goes on does not take is gone.
        ValuesDropped = "values_dropped", "被合并档案中未采用的内容将被清除", "What the merged record knew and the other does not take over is cleared";
    }
}

/// What a step that has these effects does for good, for whoever is about to take it.
pub fn irreversible(step: OrganizationStep, effects: &Effects) -> Vec<IrreversibleFact> {
    use IrreversibleFact as Fact;
    let facts = [
        (Fact::Merged, step == OrganizationStep::Merge),
        (Fact::Created, effects.organizations_created > 0),
        (Fact::CodesCleared, effects.codes_cleared > 0),
        (Fact::PostsEnded, effects.posts_ended > 0),
        (Fact::PostsMoved, effects.posts_moved > 0),
        (Fact::SitesClosed, effects.sites_closed > 0),
        (Fact::AccountsDisabled, effects.accounts_disabled > 0),
        (Fact::GrantsMoved, effects.grants_moved > 0),
    ];
    facts.into_iter().filter(|(_, holds)| *holds).map(|(fact, _)| fact).collect()
}

#[cfg(test)]
mod tests {
    use super::super::OrganizationKind::*;
    use super::*;

    #[test]
    fn the_life_of_an_organization_is_the_table() {
        use OrganizationStatus::*;
        use OrganizationStep as Step;
        for (status, is_top, allowed) in [
            (Active, false, vec![Step::Update, Step::Move, Step::Dissolve, Step::Merge, Step::Split]),
            (Active, true, vec![Step::Update, Step::Move, Step::Dissolve]),
            (Dissolved, false, vec![Step::Reactivate]),
            (Dissolved, true, vec![Step::Reactivate]),
            (Merged, false, vec![]),
        ] {
            for step in Step::ALL {
                assert_eq!(status.after(*step, is_top).is_ok(), allowed.contains(step), "{status} {step:?} top: {is_top}");
            }
            let named: Vec<_> = allowed.iter().map(|step| step.as_str()).collect();
            assert_eq!(status.actions(is_top), named);
        }
        assert_eq!(Active.after(Step::Merge, false), Ok(Merged));
        assert_eq!(Active.after(Step::Dissolve, false), Ok(Dissolved));
        assert_eq!(Dissolved.after(Step::Reactivate, false), Ok(Active));
        assert_eq!(Merged.after(Step::Reactivate, false), Err(StepRefusal::MergedForGood));
        assert_eq!(Merged.after(Step::Merge, false), Err(StepRefusal::NotNow));
        assert_eq!(Active.after(Step::Split, true), Err(StepRefusal::Top));
    }

    #[test]
    fn federations_merge_within_a_level_and_other_bodies_within_a_kind() {
        use OrganizationLevel::*;
        for (one, into, expected) in [
            ((VillageFederation, Village), (VillageFederation, Village), true),
            ((ZoneFederation, County), (CountyFederation, County), true),
            ((VillageFederation, Village), (TownshipFederation, Township), false),
            ((MemberAssociation, City), (MemberAssociation, County), true),
            ((MemberAssociation, City), (OrganWomensCommittee, City), false),
            ((NewFieldFederation, Village), (VillageFederation, Village), false),
        ] {
            assert_eq!(may_merge(one, into), expected, "{one:?} into {into:?}");
        }
    }

    #[test]
    fn a_code_is_kept_where_it_fits_the_new_parent() {
        let township = |code| (TownshipFederation, code);
        for (code, parent, expected) in [
            (Some("430602001002"), township(Some("430602001")), Some("430602001002")),
            (Some("430602001002"), township(Some("430602002")), None),
            (Some("430602001002"), township(None), Some("430602001002")),
            (Some("430602001002"), (ZoneFederation, Some("430671")), Some("430602001002")),
            (None, township(Some("430602001")), None),
        ] {
            assert_eq!(kept_code(VillageFederation, code, parent), expected, "{code:?} below {parent:?}");
        }
    }

    #[test]
    fn a_post_ends_or_goes_on_and_two_chairs_do_not_meet() {
        use PostPosition::*;
        let day = |text: &str| text.parse::<NaiveDate>().unwrap();
        let [anna, berta] = std::array::from_fn(|_| PersonId::generate());
        let term = |person_id, position, from: &str, to: Option<&str>| Term {
            id: PostId::generate(),
            person_id,
            position,
            from_on: day(from),
            to_on: to.map(day),
        };
        let (today, yesterday) = (day("2019-04-10"), day("2019-04-09"));
        let fate = |post: &Term, strategy, there: &[Term]| fate_of(post, strategy, there, today);
        let chair = term(anna, Chair, "2019-01-01", None);
        let coming = term(anna, Chair, "2019-05-01", None);
        assert_eq!(fate(&chair, PostStrategy::End, &[]), Ok(PostFate::End(yesterday)));
        assert_eq!(fate(&coming, PostStrategy::End, &[]), Ok(PostFate::End(day("2019-05-01"))));
        assert_eq!(fate(&chair, PostStrategy::Move, &[]), Ok(PostFate::Continue(yesterday)));
        assert_eq!(fate(&coming, PostStrategy::Move, &[]), Ok(PostFate::Begin));
        let other = term(berta, Chair, "2018-01-01", None);
        assert_eq!(fate(&chair, PostStrategy::Move, std::slice::from_ref(&other)), Err(other.id));
        let over = term(berta, Chair, "2018-01-01", Some("2019-04-09"));
        assert_eq!(fate(&chair, PostStrategy::Move, &[over]), Ok(PostFate::Continue(yesterday)));
        let last_day = term(berta, Chair, "2018-01-01", Some("2019-04-10"));
        assert_eq!(fate(&chair, PostStrategy::Move, std::slice::from_ref(&last_day)), Err(last_day.id));
        let same = term(anna, Chair, "2018-01-01", None);
        let joined = Ok(PostFate::Join(yesterday, same.id));
        assert_eq!(fate(&chair, PostStrategy::Move, &[same]), joined, "she is the chair there already");
        let member = term(anna, ExecutiveMember, "2019-01-01", None);
        assert_eq!(fate(&member, PostStrategy::Move, &[other]), Ok(PostFate::Continue(yesterday)));
        let both = term(anna, ExecutiveMember, "2018-01-01", None);
        let joined = Ok(PostFate::Join(yesterday, both.id));
        assert_eq!(fate(&member, PostStrategy::Move, &[both]), joined);
    }

    #[test]
    fn an_assignment_goes_on_where_it_fits() {
        for (fits, twice, post_over, expected) in [
            (true, false, false, ContactFate::Move),
            (true, false, true, ContactFate::Move),
            (true, true, false, ContactFate::End),
            (true, true, true, ContactFate::End),
            (false, false, false, ContactFate::End),
            (false, true, false, ContactFate::End),
            (false, false, true, ContactFate::Lapse),
            (false, true, true, ContactFate::Lapse),
        ] {
            assert_eq!(contact_fate(fits, twice, post_over), expected, "fits {fits} twice {twice} post over {post_over}");
        }
    }

    #[test]
    fn what_cannot_be_undone_follows_from_what_is_done() {
        use OrganizationStep::{Dissolve, Merge, Split};
        assert!(irreversible(Dissolve, &Effects::default()).is_empty(), "what is dissolved can be reactivated");
        assert_eq!(irreversible(Merge, &Effects::default()), [IrreversibleFact::Merged]);
        let effects = Effects { organizations_created: 1, posts_moved: 2, children_moved: 3, ..Effects::default() };
        assert_eq!(irreversible(Split, &effects), [IrreversibleFact::Created, IrreversibleFact::PostsMoved]);
        let effects = Effects { sites_closed: 1, accounts_disabled: 1, codes_cleared: 1, ..Effects::default() };
        let facts = [IrreversibleFact::CodesCleared, IrreversibleFact::SitesClosed, IrreversibleFact::AccountsDisabled];
        assert_eq!(irreversible(Dissolve, &effects), facts);
    }
}
