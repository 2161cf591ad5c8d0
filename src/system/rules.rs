//! What long work and jobs can be, and what may be done with them now.

use crate::audit::verify::Break;
use crate::db::text_enum::Dictionary;
use crate::text_enum;

text_enum! {
    /// Where long work is in its life.
    OperationStatus {
        /// It waits for a worker.
        Queued = "queued", "排队中", "Queued";
        /// It is under way.
        Running = "running", "进行中", "Running";
        /// It is done.
        Succeeded = "succeeded", "已完成", "Succeeded";
        /// It ended with a fault.
        Failed = "failed", "失败", "Failed";
        /// It was stopped by a person.
        Cancelled = "cancelled", "已取消", "Cancelled";
    }
}

text_enum! {
    /// What may be done with long work.
    OperationAction {
        /// Stop it at the next safe point.
        Cancel = "cancel", "取消", "Cancel";
    }
}

text_enum! {
    /// Where a job is in its life.
    JobState {
        /// It waits for a worker.
        Queued = "queued", "排队中", "Queued";
        /// A worker has it.
        Running = "running", "进行中", "Running";
        /// It is done.
        Done = "done", "已完成", "Done";
        /// It failed too often and waits for a person.
        Dead = "dead", "已放弃", "Dead";
    }
}

text_enum! {
    /// What may be done with a job.
    JobAction {
        /// Try it again from the beginning.
        Retry = "retry", "重试", "Retry";
    }
}

text_enum! {
    /// Who made a change.
    ActorKind {
        /// A signed-in person.
        Account = "account", "账号", "Account";
        /// A job or the command line.
        System = "system", "系统", "System";
        /// Nobody was signed in.
        Anonymous = "anonymous", "未登录", "Anonymous";
    }
}

text_enum! {
    /// How an audited action ended.
    AuditOutcome {
        /// It was done.
        Done = "done", "已执行", "Done";
        /// It was refused.
        Refused = "refused", "被拒绝", "Refused";
    }
}

/// Labels of every enumeration of the slice.
pub const DICTIONARIES: &[Dictionary] = &[
    ("operation_status", OperationStatus::LABELS),
    ("job_state", JobState::LABELS),
    ("actor_kind", ActorKind::LABELS),
    ("audit_outcome", AuditOutcome::LABELS),
    ("audit_break", Break::LABELS),
];

/// What became of a request to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancelled {
    /// It had not begun and never will.
    AtOnce,
    /// It stops at the next safe point.
    Soon,
}

impl OperationStatus {
    /// Stopping long work. Finished work, and work that was told to stop already, refuse.
    pub fn cancel(self, already_requested: bool) -> Option<Cancelled> {
        match self {
            Self::Queued => Some(Cancelled::AtOnce),
            Self::Running if !already_requested => Some(Cancelled::Soon),
            _ => None,
        }
    }

    /// Whether nothing more will happen to it.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }

    /// What may be done with it now.
    pub fn actions(self, cancel_requested: bool) -> Vec<OperationAction> {
        self.cancel(cancel_requested).map(|_| OperationAction::Cancel).into_iter().collect()
    }
}

impl JobState {
    /// What may be done with it now.
    pub fn actions(self) -> Vec<JobAction> {
        if self == Self::Dead { vec![JobAction::Retry] } else { vec![] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_work_that_is_not_finished_can_be_stopped_and_only_once() {
        use OperationStatus as S;
        for (status, requested, expected) in [
            (S::Queued, false, Some(Cancelled::AtOnce)),
            (S::Running, false, Some(Cancelled::Soon)),
            (S::Running, true, None),
            (S::Succeeded, false, None),
            (S::Failed, false, None),
            (S::Cancelled, false, None),
        ] {
            assert_eq!(status.cancel(requested), expected, "{status} {requested}");
            assert_eq!(status.actions(requested).is_empty(), expected.is_none());
        }
        assert!(S::ALL.iter().filter(|status| status.is_final()).all(|status| status.actions(false).is_empty()));
    }

    #[test]
    fn only_dead_jobs_are_retried() {
        for state in JobState::ALL {
            assert_eq!(state.actions().is_empty(), *state != JobState::Dead);
        }
    }
}
