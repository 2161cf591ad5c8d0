//! The vocabulary of plans: what a plan, a task and an indicator can be.

use crate::db::text_enum::Dictionary;
use crate::text_enum;

text_enum! {
    /// What kind of plan it is.
    PlanKind {
        /// 年度工作要点
        Annual = "annual", "年度计划", "Annual plan";
        /// 专项方案
        Special = "special", "专项计划", "Special plan";
        /// 临时任务
        AdHoc = "ad_hoc", "临时任务", "Ad hoc";
    }
}

text_enum! {
    /// Where a plan is in its life.
    PlanStatus {
        /// Being written; only its own organization and those above read it.
        Draft = "draft", "草稿", "Draft";
        /// In force; everyone below reads it.
        Issued = "issued", "已下发", "Issued";
        /// The year is over.
        Closed = "closed", "已结束", "Closed";
        /// Kept for the record.
        Archived = "archived", "已归档", "Archived";
    }
}

impl PlanStatus {
    /// The states in which the organizations below may read a plan.
    pub const READABLE_BELOW: &[Self] = &[Self::Issued, Self::Closed, Self::Archived];
}

text_enum! {
    /// How often a task is reported.
    TaskFrequency {
        /// Once, at the end.
        Once = "once", "一次性", "Once";
        /// 周
        Week = "week", "每周", "Weekly";
        /// 月
        Month = "month", "每月", "Monthly";
        /// 季度
        Quarter = "quarter", "每季度", "Quarterly";
        /// 半年
        HalfYear = "half_year", "每半年", "Half-yearly";
        /// 年
        Year = "year", "每年", "Yearly";
    }
}

text_enum! {
    /// Kind of work record (台账) that proves work on a task.
    RecordKind {
        /// 学习
        Study = "study", "学习", "Study";
        /// 宣讲
        Lecture = "lecture", "宣讲", "Lecture";
        /// 走访
        FieldVisit = "field_visit", "走访调查", "Field visit";
        /// 联系妇女群众
        Contact = "contact", "联系群众", "Contact with women";
        /// 会议
        Meeting = "meeting", "会议", "Meeting";
        /// 调研
        Research = "research", "调研", "Research";
        /// 制度文件
        RuleDocument = "rule_document", "制度文件", "Rule document";
        /// 整改
        Rectification = "rectification", "整改", "Rectification";
        /// 村庄清洁
        CleanUp = "clean_up", "清洁行动", "Clean-up";
        /// 阵地活动
        SiteActivity = "site_activity", "阵地活动", "Activity at a site";
        /// 走访企业
        EnterpriseVisit = "enterprise_visit", "走访企业", "Enterprise visit";
        /// 关爱走访
        CareVisit = "care_visit", "关爱走访", "Care visit";
        /// 新媒体发布
        MediaPost = "media_post", "新媒体发布", "Media post";
        /// 购买服务
        PurchasedService = "purchased_service", "购买服务", "Purchased service";
        /// 就业
        Employment = "employment", "就业", "Employment";
        /// 其他
        Other = "other", "其他", "Other";
    }
}

text_enum! {
    /// How a value is held against its target. 以上, 以下 and 以内 include the number (Civil Code art. 1259).
    Comparator {
        /// At least.
        Gte = "gte", "不少于", "At least";
        /// At most.
        Lte = "lte", "不超过", "At most";
        /// Exactly.
        Eq = "eq", "等于", "Exactly";
        /// No number was set: closed by evidence, not by a number.
        None = "none", "不设目标值", "No target";
    }
}

text_enum! {
    /// How values add up over time and over organizations.
    ValueKind {
        /// The sum of what each period adds.
        Increment = "increment", "本期新增", "Increment";
        /// The last value stands for all before it.
        Cumulative = "cumulative", "累计值", "Cumulative";
        /// Sum of numerators over sum of denominators, never an average of rates.
        Rate = "rate", "比率", "Rate";
        /// Done or not done.
        Boolean = "boolean", "是否完成", "Done or not";
        /// People or households, each counted once across organizations.
        DistinctCount = "distinct_count", "去重计数", "Distinct count";
    }
}

text_enum! {
    /// Where an indicator's values come from.
    IndicatorSource {
        /// Reported by the organizations.
        Declared = "declared", "填报", "Declared";
        /// Computed from the records the system holds.
        Derived = "derived", "系统统计", "Derived";
    }
}

text_enum! {
    /// How often a target applies.
    IndicatorFrequency {
        /// Once, by the due date.
        Once = "once", "一次性", "Once";
        /// Anew each month.
        Monthly = "monthly", "每月", "Monthly";
        /// Anew each year.
        Yearly = "yearly", "每年", "Yearly";
    }
}

text_enum! {
    /// The part an organization named one by one has in a task.
    TaskPart {
        /// 责任单位: does its own share and reports.
        Responsible = "responsible", "责任单位", "Responsible";
        /// 配合单位: supports.
        Cooperating = "cooperating", "配合单位", "Cooperating";
    }
}

/// Labels of every enumeration of the slice.
pub const DICTIONARIES: &[Dictionary] = &[
    ("plan_kind", PlanKind::LABELS),
    ("plan_status", PlanStatus::LABELS),
    ("task_frequency", TaskFrequency::LABELS),
    ("record_kind", RecordKind::LABELS),
    ("comparator", Comparator::LABELS),
    ("value_kind", ValueKind::LABELS),
    ("indicator_source", IndicatorSource::LABELS),
    ("indicator_frequency", IndicatorFrequency::LABELS),
    ("task_part", TaskPart::LABELS),
];
