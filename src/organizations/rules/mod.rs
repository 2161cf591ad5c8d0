//! What a body may be, where it may hang, which codes fit it, and what may be done with it now. Pure functions.

mod coverage;
mod life;
mod people;

use chrono::NaiveDate;

use crate::ids::OrganizationId;
use crate::text_enum;

pub use coverage::{
    CoverageGap, CoverageGapKind, CoverageUnitKind, CoverageUnitStatus, EarlierUnits, UnitFacts, UnitFate, UnitFault, UnitKeys,
    division_range, may_cover, recognized, unit_faults,
};
pub use life::{
    AccountStrategy, ChildStrategy, ContactFate, Effects, IrreversibleFact, OrganizationEventKind, OrganizationStep, PostFate,
    PostStrategy, SiteStrategy, StepRefusal, Term, contact_fate, fate_of, irreversible, kept_code, may_merge,
};
pub use people::{
    Chosen, ContactStatus, EXECUTIVES, Known, MergeField, MergeReason, MergeRefusal, PersonStatus, PostWarning, SuggestionStatus,
    choose, lacks_term, overlap,
};

text_enum! {
    /// What kind of body an organization is; decides where it may hang.
    OrganizationKind {
        /// 省妇联
        ProvinceFederation = "province_federation", "省级妇联", "Province federation";
        /// 市妇联
        CityFederation = "city_federation", "市级妇联", "City federation";
        /// 县市区妇联
        CountyFederation = "county_federation", "县级妇联", "County federation";
        /// 功能区妇联
        ZoneFederation = "zone_federation", "功能区妇联", "Functional zone federation";
        /// 乡镇街道妇联
        TownshipFederation = "township_federation", "乡镇街道妇联", "Township federation";
        /// 村社区妇联
        VillageFederation = "village_federation", "村社区妇联", "Village federation";
        /// 妇委会
        OrganWomensCommittee = "organ_womens_committee", "妇委会", "Women's committee of a department";
        /// 女职工委员会
        UnionWomenWorkersCommittee = "union_women_workers_committee", "女职工委员会", "Women workers' committee of a trade union";
        /// 团体会员
        MemberAssociation = "member_association", "团体会员", "Member association";
        /// 两新、园区、商会妇联
        NewFieldFederation = "new_field_federation", "新领域妇联", "Federation in an enterprise, park or chamber";
        /// 女性社会组织
        WomensSocialOrganization = "womens_social_organization", "女性社会组织", "Women's social organization";
        /// 妇儿工委办
        WomenChildrenWorkingCommitteeOffice = "women_children_working_committee_office", "妇儿工委办", "Office of the working committee on women and children";
    }
}

text_enum! {
    /// Level of an organization. Order: the higher level is the smaller.
    OrganizationLevel {
        /// 省
        Province = "province", "省级", "Province";
        /// 市
        City = "city", "市级", "City";
        /// 县、功能区
        County = "county", "县级", "County";
        /// 乡镇、街道
        Township = "township", "乡镇级", "Township";
        /// 村、社区
        Village = "village", "村级", "Village";
    }
}

text_enum! {
    /// Life of an organization; never deleted (handbook ).
    OrganizationStatus {
        /// It works.
        Active = "active", "正常", "Active";
        /// 撤销
        Dissolved = "dissolved", "已撤销", "Dissolved";
        /// 合并
        Merged = "merged", "已合并", "Merged";
    }
}

text_enum! {
    /// A position that a person holds.
    PostPosition {
        /// 主席
        Chair = "chair", "主席", "Chair";
        /// 副主席
        ViceChair = "vice_chair", "副主席", "Vice chair";
        /// 常委
        StandingMember = "standing_member", "常委", "Standing committee member";
        /// 执委
        ExecutiveMember = "executive_member", "执委", "Executive committee member";
        /// 主任
        Director = "director", "主任", "Director";
        /// 副主任
        DeputyDirector = "deputy_director", "副主任", "Deputy director";
        /// 会长
        President = "president", "会长", "President";
        /// 秘书长
        SecretaryGeneral = "secretary_general", "秘书长", "Secretary general";
        /// 干部
        Cadre = "cadre", "干部", "Cadre";
    }
}

text_enum! {
    /// How a post is held.
    EmploymentMode {
        /// 专职
        FullTime = "full_time", "专职", "Full-time";
        /// 兼职
        PartTime = "part_time", "兼职", "Part-time";
        /// 挂职
        Attached = "attached", "挂职", "Attached";
    }
}

text_enum! {
    /// Whether somebody is sent to another level.
    Secondment {
        /// 上挂
        Up = "up", "上挂", "Attached up";
        /// 下派
        Down = "down", "下派", "Sent down";
    }
}

text_enum! {
    /// Where a post stands today, by its dates.
    PostStatus {
        /// It begins later.
        Upcoming = "upcoming", "未开始", "Upcoming";
        /// It is held today.
        Current = "current", "在任", "Current";
        /// It is over.
        Ended = "ended", "已卸任", "Ended";
    }
}

text_enum! {
    /// What kind of site.
    SiteKind {
        /// 妇女之家
        WomensHome = "womens_home", "妇女之家", "Women's Home";
        /// 妇女微家
        WomensMicroHome = "womens_micro_home", "妇女微家", "Women's micro-home";
        /// 家长学校
        ParentsSchool = "parents_school", "家长学校", "Parents' school";
        /// 家庭教育指导中心
        FamilyEducationCentre = "family_education_centre", "家庭教育指导中心", "Family education centre";
        /// 知心屋
        HeartToHeartHouse = "heart_to_heart_house", "知心屋", "Heart-to-heart house";
        /// 示范基地
        DemonstrationBase = "demonstration_base", "示范基地", "Demonstration base";
        /// 农家乐
        FarmStay = "farm_stay", "农家乐", "Farm stay";
    }
}

text_enum! {
    /// Level of a site's demonstration grade.
    AccreditationLevel {
        /// 乡镇级
        Township = "township", "乡镇级", "Township";
        /// 县级
        County = "county", "县级", "County";
        /// 市级
        City = "city", "市级", "City";
        /// 省级
        Province = "province", "省级", "Province";
        /// 全国
        National = "national", "全国", "National";
    }
}

text_enum! {
    /// Life of a site.
    SiteStatus {
        /// It is open.
        Active = "active", "使用中", "Active";
        /// It is closed.
        Closed = "closed", "已关闭", "Closed";
    }
}

text_enum! {
    /// What a site should have: the six haves and three unities (六有三统一).
    SiteChecklistItem {
        /// 有场所
        Place = "place", "有场所", "Has a place";
        /// 有设施
        Facilities = "facilities", "有设施", "Has facilities";
        /// 有计划
        Plan = "plan", "有计划", "Has a plan";
        /// 有制度
        Rules = "rules", "有制度", "Has rules";
        /// 有活动
        Activities = "activities", "有活动", "Has activities";
        /// 有成效
        Results = "results", "有成效", "Has results";
        /// 统一名称
        UnifiedName = "unified_name", "统一名称", "Unified name";
        /// 统一标牌
        UnifiedSign = "unified_sign", "统一标牌", "Unified sign";
        /// 统一形象
        UnifiedImage = "unified_image", "统一形象", "Unified image";
    }
}

text_enum! {
    /// Sex, as on the identity card.
    Sex {
        /// 女
        Female = "female", "女", "Female";
        /// 男
        Male = "male", "男", "Male";
    }
}

impl OrganizationKind {
    /// The level that the kind itself fixes; bodies that are no federation have one of their own.
    pub const fn level(self) -> Option<OrganizationLevel> {
        match self {
            Self::ProvinceFederation => Some(OrganizationLevel::Province),
            Self::CityFederation => Some(OrganizationLevel::City),
            Self::CountyFederation | Self::ZoneFederation => Some(OrganizationLevel::County),
            Self::TownshipFederation => Some(OrganizationLevel::Township),
            Self::VillageFederation => Some(OrganizationLevel::Village),
            _ => None,
        }
    }

    /// Whether it is a federation of a territory: only these have a place in the line of guidance, and a division.
    pub const fn is_federation(self) -> bool {
        self.level().is_some()
    }

    /// Whether it may stand at the top of the tree.
    pub const fn may_be_root(self) -> bool {
        matches!(self, Self::ProvinceFederation | Self::CityFederation)
    }
}

/// Why a body may not hang where it is to hang.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PlacementFault {
    /// Only a province or city federation has no parent.
    #[error("needs a parent")]
    NeedsParent,
    /// Committees and associations have nobody below them.
    #[error("the parent must be a federation")]
    ParentIsNoFederation,
    /// A federation is guided by one of a strictly higher level.
    #[error("the parent must be of a higher level")]
    ParentNotHigher,
    /// A body beside a federation is of the same or a lower level.
    #[error("the parent must be of the same or a higher level")]
    ParentLower,
}

/// Whether a body of this kind and level may hang below a parent (handbook 1.1). Levels may be skipped.
pub fn check_placement(
    kind: OrganizationKind,
    level: OrganizationLevel,
    parent: Option<(OrganizationKind, OrganizationLevel)>,
) -> Result<(), PlacementFault> {
    match parent {
        None if kind.may_be_root() => Ok(()),
        None => Err(PlacementFault::NeedsParent),
        Some((parent, _)) if !parent.is_federation() => Err(PlacementFault::ParentIsNoFederation),
        Some((_, above)) if kind.is_federation() && above >= level => Err(PlacementFault::ParentNotHigher),
        Some((_, above)) if above > level => Err(PlacementFault::ParentLower),
        Some(_) => Ok(()),
    }
}

/// Why a division code does not fit a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DivisionFault {
    /// Committees, associations and offices have no division of their own.
    #[error("this kind has no division code")]
    KindHasNone,
    /// Six digits for a province, city or county, nine for a township, twelve for a village.
    #[error("the code is not one of this level")]
    WrongLevel,
    /// It lies in another division than its parent.
    #[error("the code does not begin with the parent's")]
    NotBelowParent,
}

/// Whether a division code fits a body: its level by its digits (GB/T 2260; nine and twelve digits of the statistics bureau),
/// and the parent's division around it. Functional zones lie in several divisions, so nothing is asked below them.
pub fn check_division(
    kind: OrganizationKind,
    code: &str,
    parent: Option<(OrganizationKind, Option<&str>)>,
) -> Result<(), DivisionFault> {
    let level = kind.level().ok_or(DivisionFault::KindHasNone)?;
    if division_level(code) != Some(level) {
        return Err(DivisionFault::WrongLevel);
    }
    match parent {
        Some((parent, Some(above))) if parent != OrganizationKind::ZoneFederation && !code.starts_with(significant(above)) => {
            Err(DivisionFault::NotBelowParent)
        }
        _ => Ok(()),
    }
}

/// The level that the digits of a code tell.
fn division_level(code: &str) -> Option<OrganizationLevel> {
    match code.len() {
        6 if code.ends_with("0000") => Some(OrganizationLevel::Province),
        6 if code.ends_with("00") => Some(OrganizationLevel::City),
        6 => Some(OrganizationLevel::County),
        9 => Some(OrganizationLevel::Township),
        12 => Some(OrganizationLevel::Village),
        _ => None,
    }
}

/// The digits that everything inside a division shares.
fn significant(code: &str) -> &str {
    match division_level(code) {
        Some(OrganizationLevel::Province) => &code[..2],
        Some(OrganizationLevel::City) => &code[..4],
        _ => code,
    }
}

/// The tops of the subtrees that are both in a scope and `within` a subtree. `pairs` tells who lies below whom among the places
/// and `within`, each of them below itself too. One top may lie below another: were it left out, what is below it would be lost
/// to a reader when it moves away before she reads.
pub fn common_roots(
    places: &[OrganizationId],
    within: OrganizationId,
    pairs: &[(OrganizationId, OrganizationId)],
) -> Vec<OrganizationId> {
    let below = |above: OrganizationId, below: OrganizationId| pairs.contains(&(above, below));
    if places.iter().any(|place| below(*place, within)) {
        return vec![within];
    }
    places.iter().copied().filter(|place| below(within, *place)).collect()
}

impl PostStatus {
    /// Where a post stands on a day. The last day counts.
    pub fn on(today: NaiveDate, from_on: NaiveDate, to_on: Option<NaiveDate>) -> Self {
        match to_on {
            Some(last) if last < today => Self::Ended,
            _ if from_on > today => Self::Upcoming,
            _ => Self::Current,
        }
    }

    /// What may be done with a post now. An ended post can still be corrected.
    pub const fn actions(self) -> &'static [&'static str] {
        match self {
            Self::Upcoming | Self::Current => &["update", "end"],
            Self::Ended => &["update"],
        }
    }
}

impl SiteStatus {
    /// What may be done with a site now, by somebody who may write it, or who may accredit it.
    pub fn actions(self, may_write: bool, may_accredit: bool) -> Vec<&'static str> {
        let steps = [("update", may_write), ("accredit", may_accredit), ("close", may_write)];
        match self {
            Self::Active => steps.into_iter().filter(|(_, allowed)| *allowed).map(|(step, _)| step).collect(),
            Self::Closed => vec![],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::OrganizationKind::*;
    use super::*;

    #[test]
    fn a_federation_is_guided_by_one_of_a_strictly_higher_level_and_levels_may_be_skipped() {
        let place = |kind: OrganizationKind, parent: OrganizationKind| {
            check_placement(kind, kind.level().unwrap(), Some((parent, parent.level().unwrap())))
        };
        for (kind, parent, expected) in [
            (CountyFederation, CityFederation, Ok(())),
            (CountyFederation, ProvinceFederation, Ok(())),
            (VillageFederation, CityFederation, Ok(())),
            (TownshipFederation, ZoneFederation, Ok(())),
            (ZoneFederation, CountyFederation, Err(PlacementFault::ParentNotHigher)),
            (CountyFederation, CountyFederation, Err(PlacementFault::ParentNotHigher)),
            (CityFederation, TownshipFederation, Err(PlacementFault::ParentNotHigher)),
        ] {
            assert_eq!(place(kind, parent), expected, "{kind} under {parent}");
        }
    }

    #[test]
    fn bodies_beside_a_federation_are_of_its_level_or_lower() {
        use OrganizationLevel::*;
        let committee = |level, parent| check_placement(OrganWomensCommittee, level, Some(parent));
        assert_eq!(committee(City, (CityFederation, City)), Ok(()));
        assert_eq!(committee(Township, (CityFederation, City)), Ok(()));
        assert_eq!(committee(City, (CountyFederation, County)), Err(PlacementFault::ParentLower));
        assert_eq!(committee(City, (MemberAssociation, City)), Err(PlacementFault::ParentIsNoFederation));
        assert_eq!(
            check_placement(VillageFederation, Village, Some((NewFieldFederation, Township))),
            Err(PlacementFault::ParentIsNoFederation)
        );
    }

    #[test]
    fn only_a_province_or_city_federation_stands_at_the_top() {
        for kind in OrganizationKind::ALL {
            let level = kind.level().unwrap_or(OrganizationLevel::City);
            assert_eq!(
                check_placement(*kind, level, None).is_ok(),
                matches!(kind, ProvinceFederation | CityFederation),
                "{kind}"
            );
        }
    }

    #[test]
    fn a_division_code_fits_the_level_and_the_parent_except_below_a_zone() {
        for (kind, code, parent, expected) in [
            (CityFederation, "430600", None, Ok(())),
            (CountyFederation, "430602", Some((CityFederation, Some("430600"))), Ok(())),
            (CountyFederation, "430602", Some((ProvinceFederation, Some("430000"))), Ok(())),
            (CountyFederation, "430702", Some((CityFederation, Some("430600"))), Err(DivisionFault::NotBelowParent)),
            (CountyFederation, "430600", Some((CityFederation, Some("430600"))), Err(DivisionFault::WrongLevel)),
            (TownshipFederation, "430602402", Some((CountyFederation, Some("430602"))), Ok(())),
            (TownshipFederation, "430603001", Some((CountyFederation, Some("430602"))), Err(DivisionFault::NotBelowParent)),
            (TownshipFederation, "430602402", Some((ZoneFederation, Some("430671"))), Ok(())),
            (TownshipFederation, "430602402", Some((ZoneFederation, None)), Ok(())),
            (ZoneFederation, "430671", Some((CityFederation, Some("430600"))), Ok(())),
            (VillageFederation, "430602001001", Some((TownshipFederation, Some("430602001"))), Ok(())),
            (VillageFederation, "430602001", Some((TownshipFederation, Some("430602001"))), Err(DivisionFault::WrongLevel)),
            (MemberAssociation, "430600", Some((CityFederation, Some("430600"))), Err(DivisionFault::KindHasNone)),
        ] {
            assert_eq!(check_division(kind, code, parent), expected, "{kind} {code} under {parent:?}");
        }
    }

    #[test]
    fn roots_are_the_tops_of_what_scope_and_filter_share() {
        let [city, county, township, other] = std::array::from_fn(|_| OrganizationId::generate());
        let all = [city, county, township, other];
        let mut pairs: Vec<_> = all.iter().map(|id| (*id, *id)).collect();
        pairs.extend([(city, county), (city, township), (city, other), (county, township)]);
        for (places, within, expected) in [
            (vec![city], township, vec![township]),
            (vec![county, other], city, vec![county, other]),
            (vec![township, county], city, vec![township, county]),
            (vec![township, city], county, vec![county]),
            (vec![county], other, vec![]),
            (vec![], city, vec![]),
        ] {
            assert_eq!(common_roots(&places, within, &pairs), expected);
        }
    }

    #[test]
    fn a_post_is_held_through_its_last_day() {
        let day = |text: &str| text.parse::<NaiveDate>().unwrap();
        let on = |today| PostStatus::on(day(today), day("2019-01-01"), Some(day("2019-03-31")));
        assert_eq!(on("2018-12-31"), PostStatus::Upcoming);
        assert_eq!(on("2019-01-01"), PostStatus::Current);
        assert_eq!(on("2019-03-31"), PostStatus::Current);
        assert_eq!(on("2019-04-01"), PostStatus::Ended);
        assert_eq!(PostStatus::on(day("2030-01-01"), day("2019-01-01"), None), PostStatus::Current);
    }

    #[test]
    fn nothing_can_be_done_with_what_is_over_but_correct_an_ended_post() {
        assert!(SiteStatus::Closed.actions(true, true).is_empty());
        assert_eq!(SiteStatus::Active.actions(false, true), ["accredit"]);
        assert_eq!(PostStatus::Ended.actions(), ["update"]);
    }
}
