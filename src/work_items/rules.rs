//! The steps that may await somebody: the one table of them.

use crate::access::Permission;

/// A step in the life of an object that waits until somebody takes it.
#[derive(Debug, PartialEq, Eq)]
pub struct Step {
    /// What it is called, on the wire and in the table.
    pub kind: &'static str,
    /// Kind of the object.
    pub subject_type: &'static str,
    /// What one must hold where it waits.
    pub permission: Permission,
    /// The actions of the object that take it.
    pub actions: &'static [&'static str],
}

/// A term is about to end: somebody prolongs it, or says that it ends.
pub const POST_EXPIRING: Step =
    Step { kind: "post_expiring", subject_type: "post", permission: Permission::PostWrite, actions: &["update", "end"] };

/// Every step.
const STEPS: &[&Step] = &[&POST_EXPIRING];

impl Step {
    /// The step of this name; none: a newer program has written it.
    pub fn named(kind: &str) -> Option<&'static Self> {
        STEPS.iter().copied().find(|step| step.kind == kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_has_a_name_of_its_own_and_an_action() {
        for step in STEPS {
            assert_eq!(Step::named(step.kind), Some(*step));
            assert!(!step.actions.is_empty(), "{}", step.kind);
        }
    }
}
