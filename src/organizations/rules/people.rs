//! One record per person: what two records that look alike become. Who looks after whom, and what is worth a warning.

use chrono::NaiveDate;

use super::{EmploymentMode, PostPosition, Sex};
use crate::text_enum;

text_enum! {
    /// Life of a record of the address book.
    PersonStatus {
        /// It is hers.
        Active = "active", "正常", "Active";
        /// 已合并
        Merged = "merged", "已合并", "Merged";
    }
}

text_enum! {
    /// What two records have in common.
    MergeReason {
        /// Telephone and name.
        SamePhoneAndName = "same_phone_and_name", "电话和姓名相同", "Same telephone and name";
        /// Telephone, under another name.
        SamePhone = "same_phone", "电话相同", "Same telephone";
        /// Name and year of birth, kept by one organization or by one above the other.
        SameNameAndBirthYear = "same_name_and_birth_year", "姓名和出生年份相同", "Same name and year of birth";
    }
}

text_enum! {
    /// What became of a suggestion to merge.
    SuggestionStatus {
        /// Nobody has decided.
        Open = "open", "待处理", "Open";
        /// They are two people.
        Dismissed = "dismissed", "不是同一人", "Dismissed";
        /// They were one person.
        Merged = "merged", "已合并", "Merged";
    }
}

text_enum! {
    /// A field of the address book of which one of two values goes on.
    MergeField {
        /// 姓名
        Name = "name", "姓名", "Name";
        /// 性别
        Sex = "sex", "性别", "Sex";
        /// 出生年份
        BirthYear = "birth_year", "出生年份", "Year of birth";
        /// 电话
        Phone = "phone", "电话", "Telephone";
    }
}

text_enum! {
    /// What is worth knowing of a post and blocks nothing.
    PostWarning {
        ///
        UnderMinimum = "under_minimum", "该职务任期届满后人数低于规定", "When the post is over, fewer hold the position than there should";
        /// 挂职 is for a time, often one or two years.
        TermMissing = "term_missing", "挂职未填写结束日期", "Attached without a last day";
    }
}

text_enum! {
    /// Where an assignment stands today.
    ContactStatus {
        /// It begins later.
        Upcoming = "upcoming", "未开始", "Upcoming";
        /// She looks after the area.
        Current = "current", "联系中", "Current";
        /// The post by which she was assigned is over.
        Lapsed = "lapsed", "已不在任", "Lapsed";
        /// It is over.
        Ended = "ended", "已结束", "Ended";
    }
}

/// Positions of the executive committee: chair and vice-chairs are elected from among its members (handbook 1.2).
pub const EXECUTIVES: [PostPosition; 4] =
    [PostPosition::Chair, PostPosition::ViceChair, PostPosition::StandingMember, PostPosition::ExecutiveMember];

impl PersonStatus {
    /// What may be done with a record now, by somebody who may write it.
    pub const fn actions(self) -> &'static [&'static str] {
        match self {
            Self::Active => &["update", "merge"],
            Self::Merged => &[],
        }
    }
}

impl SuggestionStatus {
    /// What may be done with a suggestion now, by somebody who may write both records.
    pub const fn actions(self) -> &'static [&'static str] {
        match self {
            Self::Open => &["merge", "dismiss"],
            // Who has taken two records for two people may have been wrong.
            Self::Dismissed => &["merge"],
            Self::Merged => &[],
        }
    }
}

impl ContactStatus {
    /// Where an assignment stands on a day. Last days count, that of the post too.
    pub fn on(today: NaiveDate, from_on: NaiveDate, to_on: Option<NaiveDate>, post_to_on: Option<NaiveDate>) -> Self {
        let over = |last: Option<NaiveDate>| last.is_some_and(|last| last < today);
        match () {
            () if over(to_on) => Self::Ended,
            () if over(post_to_on) => Self::Lapsed,
            () if from_on > today => Self::Upcoming,
            () => Self::Current,
        }
    }

    /// What may be done with an assignment now. One that has ended can still be corrected.
    pub const fn actions(self) -> &'static [&'static str] {
        match self {
            Self::Upcoming | Self::Current | Self::Lapsed => &["update", "end"],
            Self::Ended => &["update"],
        }
    }
}

/// Whether somebody attached has no last day.
pub fn lacks_term(mode: EmploymentMode, to_on: Option<NaiveDate>) -> bool {
    mode == EmploymentMode::Attached && to_on.is_none()
}

/// Whether two terms share a day. Last days count.
pub fn overlap(one: (NaiveDate, Option<NaiveDate>), other: (NaiveDate, Option<NaiveDate>)) -> bool {
    other.1.is_none_or(|last| one.0 <= last) && one.1.is_none_or(|last| other.0 <= last)
}

/// What a record knows of a person.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    /// Sex.
    pub sex: Option<Sex>,
    /// Year of birth.
    pub birth_year: Option<i16>,
    /// Whether it has a telephone.
    pub phone: bool,
    /// Whether it has an identity number.
    pub id_number: bool,
}

/// From which of two records each field is: true, from the one that is merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Chosen {
    pub name: bool,
    pub sex: bool,
    pub birth_year: bool,
    pub phone: bool,
    pub id_number: bool,
}

/// Why two records cannot become one as it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MergeRefusal {
    /// Identity numbers are unique: two of them are two people.
    #[error("both records have an identity number")]
    TwoIdentityNumbers,
    /// The field at this place has no value in the record that is merged.
    #[error("there is nothing to take")]
    NothingToTake(usize),
    /// The field at this place disagrees with the identity number.
    #[error("disagrees with the identity number")]
    Disagrees(usize),
}

/// Which values go on when one record is merged into another: those of `take` from the merged one, the others' own where they are
/// known. The identity number is never lost, and sex and year of birth follow from it.
pub fn choose(into: Known, merged: Known, take: &[MergeField]) -> Result<Chosen, MergeRefusal> {
    if into.id_number && merged.id_number {
        return Err(MergeRefusal::TwoIdentityNumbers);
    }
    for (index, field) in take.iter().enumerate() {
        let (known, same) = match field {
            MergeField::Name => (true, true),
            MergeField::Phone => (merged.phone, true),
            MergeField::Sex => (merged.sex.is_some(), merged.sex == into.sex),
            MergeField::BirthYear => (merged.birth_year.is_some(), merged.birth_year == into.birth_year),
        };
        if !known {
            return Err(MergeRefusal::NothingToTake(index));
        }
        if into.id_number && !same {
            return Err(MergeRefusal::Disagrees(index));
        }
    }
    let chosen = |field: MergeField, missing: bool| take.contains(&field) || missing;
    let by_number = |field: MergeField, missing: bool| merged.id_number || (!into.id_number && chosen(field, missing));
    Ok(Chosen {
        name: chosen(MergeField::Name, false),
        sex: by_number(MergeField::Sex, into.sex.is_none()),
        birth_year: by_number(MergeField::BirthYear, into.birth_year.is_none()),
        phone: chosen(MergeField::Phone, !into.phone),
        id_number: merged.id_number,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[test]
    fn an_assignment_lapses_with_the_post_and_ends_by_itself() {
        let on = |today, to: Option<&str>, post: Option<&str>| {
            ContactStatus::on(day(today), day("2019-02-01"), to.map(day), post.map(day))
        };
        assert_eq!(on("2019-01-31", None, None), ContactStatus::Upcoming);
        assert_eq!(on("2019-02-01", None, None), ContactStatus::Current);
        assert_eq!(on("2019-03-01", Some("2019-03-01"), Some("2019-03-01")), ContactStatus::Current);
        assert_eq!(on("2019-03-02", None, Some("2019-03-01")), ContactStatus::Lapsed);
        assert_eq!(on("2019-01-31", None, Some("2019-01-30")), ContactStatus::Lapsed, "it will never begin");
        assert_eq!(on("2019-03-02", Some("2019-03-01"), Some("2019-03-01")), ContactStatus::Ended);
        assert_eq!(ContactStatus::Ended.actions(), ["update"]);
    }

    #[test]
    fn terms_overlap_when_they_share_a_day() {
        let term = |from: &str, to: Option<&str>| (day(from), to.map(day));
        for (one, other, expected) in [
            (term("2019-01-01", None), term("2020-01-01", None), true),
            (term("2019-01-01", Some("2019-12-31")), term("2020-01-01", None), false),
            (term("2019-01-01", Some("2020-01-01")), term("2020-01-01", None), true),
            (term("2021-01-01", None), term("2020-01-01", Some("2020-12-31")), false),
        ] {
            assert_eq!(overlap(one, other), expected, "{one:?} {other:?}");
            assert_eq!(overlap(other, one), expected, "{other:?} {one:?}");
        }
    }

    #[test]
    fn what_goes_on_is_known_what_was_asked_for_and_what_fits_the_identity_number() {
        use MergeField::{BirthYear, Name, Phone};
        let known = |sex, birth_year, phone, id_number| Known { sex, birth_year, phone, id_number };
        let full = known(Some(Sex::Female), Some(1988), true, false);
        let numbered = Known { id_number: true, ..full };
        let empty = known(None, None, false, false);
        let from = |name, sex, birth_year, phone, id_number| Ok(Chosen { name, sex, birth_year, phone, id_number });
        assert_eq!(choose(full, full, &[]), from(false, false, false, false, false));
        assert_eq!(choose(empty, full, &[]), from(false, true, true, true, false), "what is missing is filled");
        assert_eq!(choose(full, full, &[Name, Phone]), from(true, false, false, true, false));
        assert_eq!(choose(full, numbered, &[]), from(false, true, true, false, true), "sex and year follow from the number");
        assert_eq!(choose(numbered, numbered, &[]), Err(MergeRefusal::TwoIdentityNumbers));
        assert_eq!(choose(full, empty, &[Name, Phone]), Err(MergeRefusal::NothingToTake(1)));
        let other = Known { birth_year: Some(1989), ..full };
        assert_eq!(choose(numbered, other, &[BirthYear]), Err(MergeRefusal::Disagrees(0)));
        assert_eq!(choose(numbered, full, &[BirthYear]), from(false, false, false, false, false), "they agree");
        assert_eq!(choose(full, other, &[BirthYear]), from(false, false, true, false, false));
    }

    #[test]
    fn who_is_attached_has_a_last_day() {
        assert!(lacks_term(EmploymentMode::Attached, None));
        assert!(!lacks_term(EmploymentMode::Attached, Some(day("2020-01-01"))));
        assert!(!lacks_term(EmploymentMode::PartTime, None));
    }
}
