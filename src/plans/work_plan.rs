//! A work plan as a document: the structure of `data/workplan-2019.json`, parsed into types and checked. Plain Rust; the import
//! turns it into rows.

use std::collections::HashSet;
use std::fmt;

use chrono::{Datelike, NaiveDate};
use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer};

use super::rules::{Comparator, IndicatorFrequency, IndicatorSource, RecordKind, TaskFrequency, ValueKind};
use crate::organizations::OrganizationKind;

/// The work points of 2019 (岳妇发〔2019〕1号), for the demo data and the tests.
pub const WORK_PLAN_2019: &str = include_str!("data/workplan-2019.json");
/// A plan has at most so many tasks.
const MOST_TASKS: usize = 1000;
/// A task has at most so many indicators.
const MOST_INDICATORS: usize = 50;
/// Longest title.
const LONGEST_TITLE: usize = 200;
/// Longest rule or remark.
const LONGEST_NOTE: usize = 2000;

/// A plan as a document.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkPlan {
    /// Title page.
    pub document: TitlePage,
    /// Guiding ideas of the plan.
    #[serde(default)]
    pub overall: serde_json::Value,
    /// To whom it is addressed.
    #[serde(default)]
    pub addressees: Vec<serde_json::Value>,
    /// Its chapters, in order.
    pub chapters: Vec<Chapter>,
    /// What the reader of the text could not decide.
    #[serde(default)]
    pub open_questions: Vec<serde_json::Value>,
}

/// The title page.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TitlePage {
    /// Official title.
    pub title_zh: String,
    /// Title in English.
    #[serde(default)]
    pub title_en: Option<String>,
    /// Who issued it.
    #[serde(default)]
    pub issuer_zh: Option<String>,
    /// 文号, e.g. 岳妇发〔2019〕1号.
    #[serde(default)]
    pub doc_no: Option<String>,
    /// Date of issue; none: a draft.
    #[serde(default)]
    pub issued_on: Option<NaiveDate>,
    /// Plan year.
    pub plan_year: i16,
    /// File of the text.
    #[serde(default)]
    pub source_file: Option<String>,
    /// How many chapters follow.
    #[serde(default)]
    pub chapters: Option<usize>,
    /// How many points follow.
    #[serde(default)]
    pub points: Option<usize>,
}

/// A chapter.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chapter {
    /// 1, 2, …
    pub number: i16,
    /// Title, verbatim.
    pub title: String,
    /// Title in English.
    #[serde(default)]
    pub title_en: Option<String>,
    /// Its points, in order.
    pub points: Vec<Point>,
}

/// A work point (要点), numbered through the plan.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Point {
    /// 1, 2, … through all chapters.
    pub number: i16,
    /// Title, verbatim.
    pub title: String,
    /// Title in English.
    #[serde(default)]
    pub title_en: Option<String>,
    /// Its tasks, in order.
    pub tasks: Vec<PlannedTask>,
}

/// A task.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedTask {
    /// Code, e.g. YY2019-05-03.
    pub code: String,
    /// Point and task, e.g. 5.3.
    pub number: TaskNumber,
    /// Title, verbatim.
    pub title: String,
    /// Title in English.
    #[serde(default)]
    pub title_en: Option<String>,
    /// The words of the text it stands for.
    #[serde(default)]
    pub source_span: Option<String>,
    /// 牵头单位
    pub lead_organization_kind: Body,
    /// 责任单位
    pub responsible_organization_kinds: Vec<Body>,
    /// Where the allocation comes from.
    #[serde(default)]
    pub responsible_basis: Option<String>,
    /// Partners outside the federation, by name.
    #[serde(default)]
    pub outside_partners: Vec<String>,
    /// How often it is reported.
    pub frequency: TaskFrequency,
    /// Due date.
    pub due_on: NaiveDate,
    /// What it is measured by.
    #[serde(default)]
    pub indicators: Vec<PlannedIndicator>,
    /// Named activities.
    #[serde(default)]
    pub activities: Vec<serde_json::Value>,
    /// Named places.
    #[serde(default)]
    pub places: Vec<serde_json::Value>,
    /// Named industries.
    #[serde(default)]
    pub industries: Vec<String>,
    /// Kinds of work records that prove it.
    #[serde(default)]
    pub record_kinds: Vec<RecordKind>,
    /// Concepts of the handbook that prove it.
    #[serde(default)]
    pub evidence_concepts: Vec<String>,
    /// Remarks.
    #[serde(default)]
    pub notes: Option<String>,
}

/// An indicator.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedIndicator {
    /// Code, e.g. YY2019-05-03-I1.
    pub code: String,
    /// Name.
    pub name: String,
    /// Name in English.
    #[serde(default)]
    pub name_en: Option<String>,
    /// The words of the text it stands for.
    #[serde(default)]
    pub source_phrase: Option<String>,
    /// How it is held against the target.
    pub comparator: Comparator,
    /// The target, in the unit.
    #[serde(default)]
    pub target: Option<Decimal>,
    /// Unit, verbatim.
    pub unit: String,
    /// Unit in English.
    #[serde(default)]
    pub unit_en: Option<String>,
    /// How values add up.
    pub value_kind: ValueKind,
    /// Where values come from.
    pub source: IndicatorSource,
    /// Name of the query that derives it.
    #[serde(default)]
    pub derivation: Option<String>,
    /// How often the target applies.
    pub frequency: IndicatorFrequency,
    /// First day that counts.
    pub starts_on: NaiveDate,
    /// Last day that counts.
    pub due_on: NaiveDate,
    /// Weight within the task.
    pub weight: Decimal,
    /// Whether the text states the number.
    #[serde(default)]
    pub quantification: Option<Quantification>,
    /// What counts, in words.
    #[serde(default)]
    pub counting_rule: Option<String>,
    /// Remarks.
    #[serde(default)]
    pub note: Option<String>,
}

/// Whether the text states the number of an indicator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantification {
    /// It does.
    Explicit,
    /// It follows from the words.
    Implied,
    /// The number is part of a name and no target.
    NameOnly,
    /// There is none.
    Unquantified,
}

/// Point and task, e.g. `5.3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TaskNumber {
    /// The point.
    pub point: i16,
    /// The task within the point.
    pub task: i16,
}

impl fmt::Display for TaskNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.point, self.task)
    }
}

impl<'de> Deserialize<'de> for TaskNumber {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let parsed =
            text.split_once('.').and_then(|(point, task)| Some(Self { point: point.parse().ok()?, task: task.parse().ok()? }));
        parsed
            .filter(|number| number.to_string() == text)
            .ok_or_else(|| serde::de::Error::custom(format!("{text:?} is no number like 5.3")))
    }
}

/// Who leads or carries out a task: a kind of organization, or one association by its name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Body {
    /// Every unit of a kind, e.g. `county_federation`.
    Kind(OrganizationKind),
    /// `member_association:市女企业家协会`
    Association(String),
}

impl<'de> Deserialize<'de> for Body {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        match text.strip_prefix("member_association:") {
            Some(name) => Ok(Self::Association(name.trim().to_owned())),
            None => text.parse().map(Self::Kind).map_err(serde::de::Error::custom),
        }
    }
}

/// A rule that a document breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// RFC 6901 pointer into the document.
    pub pointer: String,
    /// Stable code of the rule.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.pointer, self.message)
    }
}

/// Every rule that a document breaks, one per line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.iter().map(Fault::to_string).collect::<Vec<_>>().join("\n"))
    }
}

impl std::error::Error for Faults {}

impl WorkPlan {
    /// Reads a document. A wrong shape is one fault; broken rules are all told at once.
    pub fn parse(json: &str) -> Result<Self, Faults> {
        let mut reader = serde_json::Deserializer::from_str(json);
        let plan: Self = serde_path_to_error::deserialize(&mut reader).map_err(|fault| {
            let pointer = fault.path().iter().map(|segment| match segment {
                serde_path_to_error::Segment::Seq { index } => format!("/{index}"),
                other => format!("/{other}"),
            });
            Faults(vec![Fault { pointer: pointer.collect(), code: "invalid", message: fault.inner().to_string() }])
        })?;
        let mut check = Check::default();
        check.plan(&plan);
        let faults = check.faults;
        if faults.is_empty() { Ok(plan) } else { Err(Faults(faults)) }
    }

    /// Every task with its chapter and point, in order.
    pub fn tasks(&self) -> impl Iterator<Item = (&Chapter, &Point, &PlannedTask)> {
        self.chapters.iter().flat_map(|chapter| {
            chapter.points.iter().flat_map(move |point| point.tasks.iter().map(move |task| (chapter, point, task)))
        })
    }
}

/// Collects the rules that a document breaks.
#[derive(Default)]
struct Check<'a> {
    faults: Vec<Fault>,
    codes: HashSet<&'a str>,
    numbers: HashSet<TaskNumber>,
}

impl<'a> Check<'a> {
    fn rule(&mut self, holds: bool, pointer: &str, code: &'static str, message: impl Into<String>) {
        if !holds {
            self.faults.push(Fault { pointer: pointer.to_owned(), code, message: message.into() });
        }
    }

    fn text(&mut self, text: &str, longest: usize, pointer: &str) {
        let usable = !text.trim().is_empty() && !text.chars().any(char::is_control);
        self.rule(usable, pointer, "required", "must be a line of text");
        self.rule(text.chars().count() <= longest, pointer, "max_length", format!("must have at most {longest} characters"));
    }

    fn note(&mut self, text: Option<&str>, pointer: &str) {
        let text = text.unwrap_or_default();
        self.rule(!text.contains('\0'), pointer, "nul", "holds the character U+0000");
        self.rule(
            text.chars().count() <= LONGEST_NOTE,
            pointer,
            "max_length",
            format!("must have at most {LONGEST_NOTE} characters"),
        );
    }

    fn plan(&mut self, plan: &'a WorkPlan) {
        let document = &plan.document;
        let points: Vec<&Point> = plan.chapters.iter().flat_map(|chapter| &chapter.points).collect();
        self.text(&document.title_zh, LONGEST_TITLE, "/document/title_zh");
        self.rule((2000..=2100).contains(&document.plan_year), "/document/plan_year", "range", "must be between 2000 and 2100");
        if let Some(number) = &document.doc_no {
            self.text(number, 100, "/document/doc_no");
        }
        let told = |said: Option<usize>, found: usize| said.is_none_or(|said| said == found);
        let chapters = plan.chapters.len();
        self.rule(told(document.chapters, chapters), "/document/chapters", "count", format!("{chapters} chapters follow"));
        self.rule(told(document.points, points.len()), "/document/points", "count", format!("{} points follow", points.len()));
        let tasks = plan.tasks().count();
        self.rule(
            (1..=MOST_TASKS).contains(&tasks),
            "/chapters",
            "count",
            format!("must hold 1 to {MOST_TASKS} tasks, not {tasks}"),
        );
        self.rule(
            ascending(plan.chapters.iter().map(|chapter| chapter.number)),
            "/chapters",
            "order",
            "chapters must be numbered 1, 2, …",
        );
        self.rule(
            ascending(points.iter().map(|point| point.number)),
            "/chapters",
            "order",
            "points must be numbered 1, 2, … through the plan",
        );
        for (c, chapter) in plan.chapters.iter().enumerate() {
            self.text(&chapter.title, LONGEST_TITLE, &format!("/chapters/{c}/title"));
            for (p, point) in chapter.points.iter().enumerate() {
                self.text(&point.title, LONGEST_TITLE, &format!("/chapters/{c}/points/{p}/title"));
                for (t, task) in point.tasks.iter().enumerate() {
                    self.task(task, point, plan, &format!("/chapters/{c}/points/{p}/tasks/{t}"));
                }
            }
        }
    }

    fn task(&mut self, task: &'a PlannedTask, point: &Point, plan: &WorkPlan, at: &str) {
        self.text(&task.title, LONGEST_TITLE, &format!("{at}/title"));
        self.code(&task.code, &format!("{at}/code"));
        self.note(task.title_en.as_deref(), &format!("{at}/title_en"));
        self.note(task.notes.as_deref(), &format!("{at}/notes"));
        self.rule(
            task.number.point == point.number,
            &format!("{at}/number"),
            "number",
            format!("must begin with {}.", point.number),
        );
        let first = self.numbers.insert(task.number);
        self.rule(first, &format!("{at}/number"), "duplicate", format!("{} stands twice in the plan", task.number));
        self.body(&task.lead_organization_kind, &format!("{at}/lead_organization_kind"));
        let mut bodies = HashSet::new();
        for (index, body) in task.responsible_organization_kinds.iter().enumerate() {
            let pointer = format!("{at}/responsible_organization_kinds/{index}");
            self.body(body, &pointer);
            self.rule(bodies.insert(body), &pointer, "duplicate", "stands twice in the list");
        }
        for (index, partner) in task.outside_partners.iter().enumerate() {
            self.text(partner, 100, &format!("{at}/outside_partners/{index}"));
        }
        let distinct: HashSet<_> = task.record_kinds.iter().collect();
        self.rule(distinct.len() == task.record_kinds.len(), &format!("{at}/record_kinds"), "duplicate", "repeats a kind");
        self.rule(
            task.due_on.year() >= i32::from(plan.document.plan_year),
            &format!("{at}/due_on"),
            "range",
            "lies before the plan year",
        );
        let count = task.indicators.len();
        self.rule(
            count <= MOST_INDICATORS,
            &format!("{at}/indicators"),
            "max_items",
            format!("must hold at most {MOST_INDICATORS}"),
        );
        for (index, indicator) in task.indicators.iter().enumerate() {
            self.indicator(indicator, &format!("{at}/indicators/{index}"));
        }
    }

    fn indicator(&mut self, indicator: &'a PlannedIndicator, at: &str) {
        self.text(&indicator.name, LONGEST_TITLE, &format!("{at}/name"));
        self.code(&indicator.code, &format!("{at}/code"));
        self.note(indicator.name_en.as_deref(), &format!("{at}/name_en"));
        self.note(indicator.counting_rule.as_deref(), &format!("{at}/counting_rule"));
        self.note(indicator.note.as_deref(), &format!("{at}/note"));
        self.rule(indicator.unit.chars().count() <= 20, &format!("{at}/unit"), "max_length", "must have at most 20 characters");
        let none = indicator.comparator == Comparator::None;
        self.rule(
            none == indicator.target.is_none(),
            &format!("{at}/target"),
            "target",
            "is given exactly where the comparator is not none",
        );
        if let Some(target) = indicator.target {
            self.rule(is_figure(target), &format!("{at}/target"), "range", "must be 0 or more with at most 4 decimals");
        }
        let weight = indicator.weight;
        self.rule(
            is_figure(weight) && !weight.is_zero(),
            &format!("{at}/weight"),
            "range",
            "must be positive with at most 4 decimals",
        );
        self.rule(indicator.starts_on <= indicator.due_on, &format!("{at}/due_on"), "range", "lies before starts_on");
        let derived = indicator.source == IndicatorSource::Derived;
        self.rule(
            derived == indicator.derivation.is_some(),
            &format!("{at}/derivation"),
            "derivation",
            "is given exactly where the source is derived",
        );
    }

    fn code(&mut self, code: &'a str, pointer: &str) {
        let usable = (1..=40).contains(&code.len())
            && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
        self.rule(usable, pointer, "pattern", "must be 1 to 40 letters, digits, dashes, dots");
        let first = self.codes.insert(code);
        self.rule(first, pointer, "duplicate", format!("{code} stands twice in the plan"));
    }

    fn body(&mut self, body: &Body, pointer: &str) {
        if let Body::Association(name) = body {
            self.text(name, 100, pointer);
        }
    }
}

fn ascending(numbers: impl Iterator<Item = i16>) -> bool {
    numbers.zip(1..).all(|(number, expected)| number == expected)
}

/// What `numeric(18,4)` and JSON numbers hold exactly.
fn is_figure(value: Decimal) -> bool {
    !value.is_sign_negative() && value.normalize().scale() <= 4 && value < Decimal::from(100_000_000_000_i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> WorkPlan {
        WorkPlan::parse(WORK_PLAN_2019).unwrap_or_else(|faults| panic!("{faults}"))
    }

    /// Faults of the real plan after a change of one value.
    fn faults_with(pointer: &str, value: serde_json::Value) -> Vec<(String, &'static str)> {
        let mut json: serde_json::Value = serde_json::from_str(WORK_PLAN_2019).unwrap();
        *json.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer}")) = value;
        let Err(Faults(faults)) = WorkPlan::parse(&json.to_string()) else { return vec![] };
        faults.into_iter().map(|fault| (fault.pointer, fault.code)).collect()
    }

    #[test]
    fn the_plan_of_2019_has_5_chapters_15_points_81_tasks_and_31_indicators_of_which_9_are_explicit() {
        let plan = plan();
        let indicators: Vec<_> = plan.tasks().flat_map(|(_, _, task)| &task.indicators).collect();
        let explicit = indicators.iter().filter(|indicator| indicator.quantification == Some(Quantification::Explicit)).count();
        assert_eq!(plan.chapters.len(), 5);
        assert_eq!(plan.chapters.iter().map(|chapter| chapter.points.len()).sum::<usize>(), 15);
        assert_eq!((plan.tasks().count(), indicators.len(), explicit), (81, 31, 9));
    }

    #[test]
    fn the_screening_of_100_000_women_is_led_by_every_county() {
        let plan = plan();
        let (chapter, point, task) = plan.tasks().find(|(_, _, task)| task.number.to_string() == "10.5").unwrap();
        assert_eq!((chapter.number, point.number), (4, 10));
        assert_eq!(task.lead_organization_kind, Body::Kind(OrganizationKind::CountyFederation));
        assert_eq!(task.indicators[0].target, Some(Decimal::from(100_000)));
        assert_eq!(task.indicators[0].value_kind, ValueKind::DistinctCount);
    }

    #[test]
    fn an_association_is_meant_by_its_name() {
        let plan = plan();
        let (_, _, task) = plan.tasks().find(|(_, _, task)| task.code == "YY2019-14-07").unwrap();
        assert_eq!(task.lead_organization_kind, Body::Association("市巾帼志愿者协会".to_owned()));
    }

    #[test]
    fn each_broken_rule_is_told_where_it_is_broken() {
        let task = "/chapters/1/points/1/tasks/2";
        let indicator = &format!("{task}/indicators/0");
        for (pointer, value, told, code) in [
            ("/document/points".to_owned(), 14.into(), "/document/points".to_owned(), "count"),
            ("/document/plan_year".to_owned(), 1999.into(), "/document/plan_year".to_owned(), "range"),
            (format!("{task}/number"), "6.30".into(), format!("{task}/number"), "number"),
            (format!("{task}/number"), "5.2".into(), format!("{task}/number"), "duplicate"),
            (format!("{task}/code"), "YY2019-05-02".into(), format!("{task}/code"), "duplicate"),
            (format!("{task}/title"), " ".into(), format!("{task}/title"), "required"),
            (format!("{task}/lead_organization_kind"), "federation".into(), format!("{task}/lead_organization_kind"), "invalid"),
            (format!("{task}/due_on"), "2018-12-31".into(), format!("{task}/due_on"), "range"),
            (format!("{indicator}/target"), serde_json::Value::Null, format!("{indicator}/target"), "target"),
            (format!("{indicator}/target"), 0.12345.into(), format!("{indicator}/target"), "range"),
            (format!("{indicator}/weight"), 0.into(), format!("{indicator}/weight"), "range"),
            (format!("{indicator}/starts_on"), "2020-01-01".into(), format!("{indicator}/due_on"), "range"),
            (format!("{indicator}/source"), "derived".into(), format!("{indicator}/derivation"), "derivation"),
            (format!("{indicator}/comparator"), "about".into(), format!("{indicator}/comparator"), "invalid"),
        ] {
            assert_eq!(faults_with(&pointer, value), [(told, code)], "{pointer}");
        }
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let mut json: serde_json::Value = serde_json::from_str(WORK_PLAN_2019).unwrap();
        json["document"]["plan_year"] = 1.into();
        json["document"]["title_zh"] = "".into();
        assert_eq!(WorkPlan::parse(&json.to_string()).unwrap_err().0.len(), 2);
    }
}
