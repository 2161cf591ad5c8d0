//! The whole policy on one screen: roles, permissions, who holds what, and which operation needs which permission. The gate
//! looks operations up here; the OpenAPI document takes `x-permission` from here; a committed snapshot shows every change.

use chrono::NaiveDate;

use crate::ids::OrganizationId;
use crate::text_enum;

text_enum! {
    /// What somebody is, at a place.
    Role {
        /// Everything but case content.
        PlatformAdmin = "platform_admin", "平台管理员", "Platform administrator";
        /// Organizations, accounts and grants of the subtree.
        OrgAdmin = "org_admin", "组织管理员", "Organization administrator";
        /// Decides: issues, verifies, recommends, publishes.
        Manager = "manager", "负责人", "Manager";
        /// Prepares: drafts, reports, registers, checks in.
        Officer = "officer", "经办人", "Officer";
        /// Scores nominations and contests assigned to her.
        Reviewer = "reviewer", "评审", "Reviewer";
        /// Reads audit entries and figures, changes nothing.
        Auditor = "auditor", "审计员", "Auditor";
        /// Reads.
        Viewer = "viewer", "查看者", "Viewer";
        /// Reviews what is routed to her agency.
        AgencyReviewer = "agency_reviewer", "合作单位审核人", "Agency reviewer";
        /// Administers her agency.
        AgencyAdmin = "agency_admin", "合作单位管理员", "Agency administrator";
        /// A gate device of one event.
        Scanner = "scanner", "核验设备", "Gate scanner";
        /// Anybody with a WeChat identity.
        Citizen = "citizen", "群众", "Citizen";
    }
}

text_enum! {
    /// The part of the work a grant is for.
    Module {
        /// The tree, its people and sites.
        Organizations = "organizations", "组织", "Organizations";
        /// Plans and tasks.
        Plans = "plans", "计划与任务", "Plans and tasks";
        /// Events.
        Events = "events", "活动", "Events";
        /// Women's enterprise loans.
        Loans = "loans", "贷款", "Loans";
        /// Family and post honors.
        Honors = "honors", "荣誉", "Honors";
        /// Rights cases.
        Rights = "rights", "维权", "Rights";
        /// Partner agencies.
        Partners = "partners", "合作单位", "Partners";
        /// Accounts, audit, jobs.
        System = "system", "系统", "System";
    }
}

use Role::{Auditor, Manager, Officer, OrgAdmin, PlatformAdmin, Reviewer, Viewer};

/// Every role of the federation's staff.
const STAFF: &[Role] = &[PlatformAdmin, OrgAdmin, Manager, Officer, Reviewer, Auditor, Viewer];

macro_rules! permissions {
    ($($variant:ident = $name:literal, $module:expr, reads $reads:ident, $roles:expr;)*) => {
        /// Something that may be done.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Permission { $(#[doc = $name] $variant),* }

        impl Permission {
            /// Every permission, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Name in the document and in the database.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// Module a grant must include; none: any grant of the role will do.
            pub const fn module(self) -> Option<Module> {
                match self { $(Self::$variant => $module),* }
            }

            /// Roles that hold it.
            pub const fn roles(self) -> &'static [Role] {
                match self { $(Self::$variant => $roles),* }
            }

            /// What the caller must be able to read for the object to exist for her: without it she gets 404, with it 403.
            pub const fn reads(self) -> Self {
                match self { $(Self::$variant => Self::$reads),* }
            }
        }
    };
}

// permission = name, module, what makes the object visible, roles
permissions! {
    OrganizationRead = "organization.read", None, reads OrganizationRead, STAFF;
    OrganizationWrite = "organization.write", Some(Module::Organizations), reads OrganizationRead, &[PlatformAdmin, OrgAdmin];
    PersonRead = "person.read", Some(Module::Organizations), reads PersonRead, &[PlatformAdmin, OrgAdmin, Manager, Officer, Viewer];
    PersonWrite = "person.write", Some(Module::Organizations), reads PersonRead, &[PlatformAdmin, OrgAdmin, Officer];
    PersonReveal = "person.reveal", Some(Module::Organizations), reads PersonRead, &[PlatformAdmin, OrgAdmin, Manager];
    PostRead = "post.read", Some(Module::Organizations), reads PostRead, &[PlatformAdmin, OrgAdmin, Manager, Officer, Viewer];
    PostWrite = "post.write", Some(Module::Organizations), reads PostRead, &[PlatformAdmin, OrgAdmin, Officer];
    ContactRead = "contact.read", Some(Module::Organizations), reads ContactRead, &[PlatformAdmin, OrgAdmin, Manager, Officer, Viewer];
    ContactWrite = "contact.write", Some(Module::Organizations), reads ContactRead, &[PlatformAdmin, OrgAdmin, Officer];
    SiteRead = "site.read", None, reads SiteRead, STAFF;
    SiteWrite = "site.write", Some(Module::Organizations), reads SiteRead, &[PlatformAdmin, OrgAdmin, Officer];
    SiteAccredit = "site.accredit", Some(Module::Organizations), reads SiteRead, &[PlatformAdmin, OrgAdmin, Manager];
    CoverageRead = "coverage.read", Some(Module::Organizations), reads CoverageRead, STAFF;
    CoverageWrite = "coverage.write", Some(Module::Organizations), reads CoverageRead, &[PlatformAdmin, OrgAdmin, Officer];
    PlanRead = "plan.read", Some(Module::Plans), reads PlanRead, STAFF;
    FileRead = "file.read", None, reads FileRead, STAFF;
    FileWrite = "file.write", None, reads FileRead, &[PlatformAdmin, OrgAdmin, Manager, Officer];
    ImportRead = "import.read", None, reads ImportRead, &[PlatformAdmin, OrgAdmin, Officer];
    ImportWrite = "import.write", None, reads ImportRead, &[PlatformAdmin, OrgAdmin, Officer];
    AccountRead = "account.read", Some(Module::System), reads AccountRead, &[PlatformAdmin, OrgAdmin];
    AccountWrite = "account.write", Some(Module::System), reads AccountRead, &[PlatformAdmin, OrgAdmin];
    GrantWrite = "grant.write", Some(Module::System), reads AccountRead, &[PlatformAdmin, OrgAdmin];
    AuditRead = "audit.read", Some(Module::System), reads AuditRead, &[PlatformAdmin, Auditor];
    JobRead = "job.read", Some(Module::System), reads JobRead, &[PlatformAdmin];
    JobWrite = "job.write", Some(Module::System), reads JobRead, &[PlatformAdmin];
}

impl Role {
    /// The modules in which it may do anything.
    pub fn modules(self) -> Vec<Module> {
        let held =
            |module: &Module| Permission::ALL.iter().any(|held| held.module() == Some(*module) && held.roles().contains(&self));
        Module::ALL.iter().copied().filter(held).collect()
    }
}

impl Permission {
    /// Finds a permission by its name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|permission| permission.as_str() == name)
    }
}

/// What an operation asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nothing: anybody may call it.
    Public,
    /// To be signed in; it concerns the caller herself.
    SignedIn,
    /// A permission, at the place of the object.
    Holds(Permission),
}

impl Need {
    /// `x-permission` of the document.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::SignedIn => "signed_in",
            Self::Holds(permission) => permission.as_str(),
        }
    }
}

use Need::{Holds, Public, SignedIn};
use Permission as P;

/// Every operation of the document by its operationId. One that is missing here cannot be called.
pub const OPERATIONS: &[(&str, Need)] = &[
    // catalogues
    ("get_api_home", Public),
    ("list_divisions", Public),
    ("get_division", Public),
    ("list_dictionaries", Public),
    ("list_working_calendar", Public),
    ("list_problems", Public),
    ("get_problem", Public),
    ("list_roles", Public),
    ("get_liveness", Public),
    ("get_readiness", Public),
    // signing in
    ("login", Public),
    ("refresh", Public),
    ("logout", SignedIn),
    ("step_up", SignedIn),
    ("list_sessions", SignedIn),
    ("end_session", SignedIn),
    ("get_jwks", Public),
    // herself
    ("get_me", SignedIn),
    ("update_me", SignedIn),
    ("change_password", SignedIn),
    ("start_totp", SignedIn),
    ("confirm_totp", SignedIn),
    ("remove_totp", SignedIn),
    ("list_work_items", SignedIn),
    ("count_work_items", SignedIn),
    // accounts
    ("list_accounts", Holds(P::AccountRead)),
    ("count_accounts", Holds(P::AccountRead)),
    ("create_account", Holds(P::AccountWrite)),
    ("get_account", Holds(P::AccountRead)),
    ("update_account", Holds(P::AccountWrite)),
    ("disable_account", Holds(P::AccountWrite)),
    ("enable_account", Holds(P::AccountWrite)),
    ("unlock_account", Holds(P::AccountWrite)),
    ("reset_account_password", Holds(P::AccountWrite)),
    ("list_grants", Holds(P::AccountRead)),
    ("create_grant", Holds(P::GrantWrite)),
    ("revoke_grant", Holds(P::GrantWrite)),
    // organizations
    ("list_organizations", Holds(P::OrganizationRead)),
    ("count_organizations", Holds(P::OrganizationRead)),
    ("create_organization", Holds(P::OrganizationWrite)),
    ("get_organization", Holds(P::OrganizationRead)),
    ("update_organization", Holds(P::OrganizationWrite)),
    ("move_organization", Holds(P::OrganizationWrite)),
    ("dissolve_organization", Holds(P::OrganizationWrite)),
    ("merge_organization", Holds(P::OrganizationWrite)),
    ("split_organization", Holds(P::OrganizationWrite)),
    ("reactivate_organization", Holds(P::OrganizationWrite)),
    ("list_organization_children", Holds(P::OrganizationRead)),
    ("list_organization_ancestors", Holds(P::OrganizationRead)),
    ("get_organization_summary", Holds(P::OrganizationRead)),
    ("list_organization_history", Holds(P::OrganizationRead)),
    ("list_directory", Public),
    ("get_directory_entry", Public),
    // people and posts
    ("list_people", Holds(P::PersonRead)),
    ("count_people", Holds(P::PersonRead)),
    ("search_people", Holds(P::PersonRead)),
    ("create_person", Holds(P::PersonWrite)),
    ("get_person", Holds(P::PersonRead)),
    ("update_person", Holds(P::PersonWrite)),
    ("reveal_person", Holds(P::PersonReveal)),
    ("list_merge_suggestions", Holds(P::PersonRead)),
    ("count_merge_suggestions", Holds(P::PersonRead)),
    ("get_merge_suggestion", Holds(P::PersonRead)),
    ("dismiss_merge_suggestion", Holds(P::PersonWrite)),
    ("merge_person", Holds(P::PersonWrite)),
    ("list_posts", Holds(P::PostRead)),
    ("count_posts", Holds(P::PostRead)),
    ("list_vacancies", Holds(P::PostRead)),
    ("count_vacancies", Holds(P::PostRead)),
    ("list_expiring_posts", Holds(P::PostRead)),
    ("list_organization_posts", Holds(P::PostRead)),
    ("create_post", Holds(P::PostWrite)),
    ("get_post", Holds(P::PostRead)),
    ("update_post", Holds(P::PostWrite)),
    ("end_post", Holds(P::PostWrite)),
    ("batch_posts", Holds(P::PostWrite)),
    // who looks after whom
    ("list_contact_assignments", Holds(P::ContactRead)),
    ("count_contact_assignments", Holds(P::ContactRead)),
    ("list_contact_coverage", Holds(P::ContactRead)),
    ("create_contact_assignment", Holds(P::ContactWrite)),
    ("get_contact_assignment", Holds(P::ContactRead)),
    ("update_contact_assignment", Holds(P::ContactWrite)),
    ("end_contact_assignment", Holds(P::ContactWrite)),
    // sites
    ("list_sites", Public),
    ("count_sites", Public),
    ("get_site", Public),
    ("create_site", Holds(P::SiteWrite)),
    ("update_site", Holds(P::SiteWrite)),
    ("accredit_site", Holds(P::SiteAccredit)),
    ("close_site", Holds(P::SiteWrite)),
    // coverage
    ("get_organization_coverage", Holds(P::CoverageRead)),
    ("list_coverage_gaps", Holds(P::CoverageRead)),
    ("list_coverage_units", Holds(P::CoverageRead)),
    ("count_coverage_units", Holds(P::CoverageRead)),
    ("create_coverage_unit", Holds(P::CoverageWrite)),
    ("get_coverage_unit", Holds(P::CoverageRead)),
    ("update_coverage_unit", Holds(P::CoverageWrite)),
    ("close_coverage_unit", Holds(P::CoverageWrite)),
    ("reopen_coverage_unit", Holds(P::CoverageWrite)),
    // plans
    ("list_plans", Holds(P::PlanRead)),
    ("count_plans", Holds(P::PlanRead)),
    ("get_plan", Holds(P::PlanRead)),
    ("list_plan_tasks", Holds(P::PlanRead)),
    ("get_task", Holds(P::PlanRead)),
    ("list_task_indicators", Holds(P::PlanRead)),
    ("get_indicator", Holds(P::PlanRead)),
    // files
    ("list_files", Holds(P::FileRead)),
    ("upload_file", Holds(P::FileWrite)),
    ("get_file", Holds(P::FileRead)),
    ("delete_file", SignedIn),
    ("download_file", Holds(P::FileRead)),
    // exports
    ("list_exports", SignedIn),
    ("create_export", SignedIn),
    ("get_export", SignedIn),
    ("cancel_export", SignedIn),
    ("download_export", SignedIn),
    // imports
    ("list_imports", Holds(P::ImportRead)),
    ("count_imports", Holds(P::ImportRead)),
    ("start_import", Holds(P::ImportWrite)),
    ("get_import_template", Holds(P::ImportRead)),
    ("get_import", Holds(P::ImportRead)),
    ("list_import_errors", Holds(P::ImportRead)),
    ("download_import_errors", Holds(P::ImportRead)),
    ("apply_import", Holds(P::ImportWrite)),
    ("cancel_import", Holds(P::ImportWrite)),
    // running the service
    ("list_audit_entries", Holds(P::AuditRead)),
    ("list_audit_checkpoints", Holds(P::AuditRead)),
    ("verify_audit_entries", Holds(P::AuditRead)),
    ("get_audit_keys", Public),
    ("get_operation", SignedIn),
    ("cancel_operation", SignedIn),
    ("list_dead_jobs", Holds(P::JobRead)),
    ("retry_job", Holds(P::JobWrite)),
];

/// Fields of items in lists that hold personal data: schema and fields. The document marks them `x-personal-data`; who exports one
/// gives a reason and confirms who she is. Office telephones and titles of posts are not personal.
pub const PERSONAL: &[(&str, &[&str])] = &[
    ("PersonView", &["name", "sex", "birth_year", "phone", "id_number"]),
    ("PostView", &["person_name"]),
    ("ContactAssignmentView", &["person_name"]),
    ("AccountView", &["username", "display_name"]),
    ("OrganizationEventView", &["actor"]),
    ("WorkItemView", &["title"]),
    ("AuditEntryView", &["actor_name", "before", "after"]),
];

/// What an operation needs; none: it is not in the table.
pub fn need_of(operation_id: &str) -> Option<Need> {
    OPERATIONS.iter().find(|(id, _)| *id == operation_id).map(|(_, need)| *need)
}

/// A role at a place for some modules, while it is valid.
#[derive(Debug, Clone)]
pub struct HeldRole {
    /// Which role.
    pub role: Role,
    /// The place; the grant covers its subtree.
    pub organization_id: OrganizationId,
    /// For which modules.
    pub modules: Vec<Module>,
    /// First day.
    pub from_on: NaiveDate,
    /// Last day; none: open.
    pub to_on: Option<NaiveDate>,
}

impl HeldRole {
    /// Whether it gives `permission` on `today`.
    pub fn gives(&self, permission: Permission, today: NaiveDate) -> bool {
        self.from_on <= today
            && self.to_on.is_none_or(|last| today <= last)
            && permission.roles().contains(&self.role)
            && permission.module().is_none_or(|module| self.modules.contains(&module))
    }
}

/// The places below which a caller may do something: the roots of subtrees. Every query on scoped data takes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    places: Vec<OrganizationId>,
}

impl Scope {
    /// The places at which these roles give `permission` on `today`.
    pub fn of(roles: &[HeldRole], permission: Permission, today: NaiveDate) -> Self {
        let mut places: Vec<_> =
            roles.iter().filter(|role| role.gives(permission, today)).map(|role| role.organization_id).collect();
        places.sort();
        places.dedup();
        Self { places }
    }

    /// One place, for work that is done for an organization.
    pub fn at(place: OrganizationId) -> Self {
        Self { places: vec![place] }
    }

    /// The same, of the roles whose grants include a module; none: of all.
    pub fn in_module(roles: &[HeldRole], permission: Permission, module: Option<Module>, today: NaiveDate) -> Self {
        let with: Vec<HeldRole> =
            roles.iter().filter(|role| module.is_none_or(|module| role.modules.contains(&module))).cloned().collect();
        Self::of(&with, permission, today)
    }

    /// The subtree of one place, for work that was allowed there.
    pub fn below(place: OrganizationId) -> Self {
        Self { places: vec![place] }
    }

    /// Whether it covers nothing.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The roots of the subtrees it covers. One may lie below another.
    pub fn places(&self) -> &[OrganizationId] {
        &self.places
    }
}

/// Which roles an administrator may grant (contract, section 2).
pub fn may_grant(granter: Role, granted: Role) -> bool {
    match granter {
        PlatformAdmin => !matches!(granted, Role::AgencyReviewer | Role::AgencyAdmin | Role::Scanner | Role::Citizen),
        OrgAdmin => matches!(granted, OrgAdmin | Manager | Officer | Reviewer | Viewer),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[test]
    fn a_grant_counts_only_for_its_modules_and_while_it_is_valid() {
        let place = OrganizationId::generate();
        let held = [HeldRole {
            role: Officer,
            organization_id: place,
            modules: vec![Module::Events],
            from_on: day("2019-01-01"),
            to_on: Some(day("2019-12-31")),
        }];
        let scope = |permission, today| Scope::of(&held, permission, day(today));
        assert!(scope(P::PersonRead, "2019-06-01").is_empty(), "the events clerk does not read the address book");
        assert_eq!(scope(P::OrganizationRead, "2019-12-31").places(), [place]);
        assert!(scope(P::OrganizationRead, "2020-01-01").is_empty());
        assert!(scope(P::OrganizationWrite, "2019-06-01").is_empty());
    }

    #[test]
    fn auditors_and_platform_administrators_come_only_from_a_platform_administrator() {
        for role in Role::ALL {
            let by_org_admin = matches!(role, OrgAdmin | Manager | Officer | Reviewer | Viewer);
            assert_eq!(may_grant(OrgAdmin, *role), by_org_admin);
            assert!(!may_grant(Manager, *role));
        }
        assert!(may_grant(PlatformAdmin, Auditor) && may_grant(PlatformAdmin, PlatformAdmin));
        assert!(!may_grant(PlatformAdmin, Role::Scanner));
    }

    #[test]
    fn who_ends_an_organization_may_hand_over_all_that_it_has() {
        for other in [P::PersonWrite, P::PostWrite, P::SiteWrite, P::CoverageWrite] {
            assert_eq!(other.module(), P::OrganizationWrite.module());
            assert!(P::OrganizationWrite.roles().iter().all(|role| other.roles().contains(role)), "{}", other.as_str());
        }
    }
}
