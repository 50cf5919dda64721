//! Parts of the page: members, workers, the dead, refused results, and how times and sizes read.

use std::time::Duration;

use maud::{Markup, html};

use crate::overview::{DeathView, MemberView, Overview, RefusedView, WorkerView};
use crate::state::{DeathReason, Vitals};

pub(super) fn members(overview: &Overview, now: u64) -> Markup {
    let registry = Registry::of(&overview.members);
    html! {
        h2 { "Masters" }
        @if overview.leader.is_none() { p.none { "Nobody is known to lead." } }
        @if overview.members.is_empty() { p.none { "None is alive." } } @else {
            div.scroll { table {
                tr {
                    th { "name" } th { "role" } @if registry == Registry::Embedded { th { "member" } } th { "host, process" } th { "cpu" } th { "load" }
                    th { "memory" } th { "slot" } th { "drives" } th { "reported" }
                }
                @for member in &overview.members { (member_row(member, registry, now)) }
            } }
        }
    }
}

/// Where the registry is, seen from the masters.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Registry {
    /// In them: each is a member.
    Embedded,
    /// Beside them: they are candidates of an election.
    Beside,
}

impl Registry {
    fn of(masters: &[MemberView]) -> Self {
        if masters.iter().any(|master| master.report.node.is_some()) { Self::Embedded } else { Self::Beside }
    }
}

fn member_row(member: &MemberView, registry: Registry, now: u64) -> Markup {
    let report = &member.report;
    let otherwise = match registry {
        Registry::Embedded => "follower",
        Registry::Beside => "candidate",
    };
    html! {
        tr {
            td { (member.name) }
            td { @if member.leader { span.tag.leader { "leader" } } @else { span.tag.alive { (otherwise) } } }
            @if registry == Registry::Embedded {
                td.n { @if let (Some(node), Some(address)) = (report.node, &report.address) { (node) " at " (address) } }
            }
            (vitals(&report.vitals))
            td.n { @if let Some(slot) = report.slot { (slot + 1) " of " (report.slots) } }
            td { (report.instances.len()) }
            td.n { (ago(now, report.vitals.reported_at)) }
        }
    }
}

pub(super) fn workers(workers: &[WorkerView], now: u64) -> Markup {
    html! {
        h2 { "Workers" }
        @if workers.is_empty() { p.none { "None is alive." } } @else {
            div.scroll { table {
                tr {
                    th { "name" } th { "status" } th { "group" } th { "tasks" } th { "host, process" } th { "cpu" } th { "load" }
                    th { "memory" } th { "reported" }
                }
                @for worker in workers {
                    @let report = &worker.report;
                    tr {
                        td { (worker.name) }
                        td { (state_tag(report.vitals.status.as_str())) }
                        td { (report.group) }
                        td.n { (bar(report.running, report.capacity)) " " (report.running) " of " (report.capacity) }
                        (vitals(&report.vitals))
                        td.n { (ago(now, report.vitals.reported_at)) }
                    }
                }
            } }
        }
    }
}

fn vitals(vitals: &Vitals) -> Markup {
    html! {
        td.n { (vitals.host) " (" (vitals.ip) "), " (vitals.pid) }
        td.n { (format!("{:.0} %", vitals.cpu)) }
        td.n { (format!("{:.2}", vitals.load)) }
        td.n { (gibibytes(vitals.memory_used)) " of " (gibibytes(vitals.memory_total)) }
    }
}

pub(super) fn dead(dead: &[DeathView], now: u64) -> Markup {
    // What only some backends tell has a column only where one does.
    let certified = dead.iter().any(|death| death.certificate.is_some());
    html! {
        h2 { "Dead list" }
        @if dead.is_empty() { p.none { "Nobody is missing." } } @else {
            div.scroll { table {
                tr { th { "who" } th { "reason" } th { "noticed" } th { "by" } th { "session" } @if certified { th { "what is known" } } }
                @for death in dead {
                    @let class = match death.reason { DeathReason::Left => "tag left", DeathReason::Vanished => "tag vanished" };
                    tr {
                        td.n { (death.role) " " (death.name) }
                        td { span class=(class) { (death.reason) } }
                        td.n { (ago(now, death.noticed_at)) }
                        td { (death.noticed_by) }
                        td { code { (death.session) } }
                        @if certified { td { @if let Some(certificate) = &death.certificate {
                            "silent for " (certificate.silent_ms) " ms of " (certificate.ttl_ms) " ms, "
                            (certificate.leader_changes) " leader changes"
                        } } }
                    }
                }
            } }
        }
    }
}

pub(super) fn refused(refused: &[RefusedView], now: u64) -> Markup {
    html! {
        h2 { "Results that came too late" }
        ul { @for result in refused {
            li {
                (result.instance) ", task " (result.task) ", attempt " (result.attempt) " on " (result.worker) " ("
                (result.outcome) "), " (ago(now, result.at))
            }
        } }
    }
}

/// A state as a coloured tag.
pub(super) fn state_tag(state: &str) -> Markup {
    html! { span class={ "tag " (state) } { (state.replace('_', " ")) } }
}

/// How long ago a moment of the wall clock was, in one or two units.
pub(super) fn ago(now: u64, then: u64) -> String {
    let seconds = now.saturating_sub(then) / 1000;
    match seconds {
        0 => "now".to_owned(),
        1..120 => format!("{seconds} s ago"),
        _ => {
            let minutes = Duration::from_secs(seconds / 60 * 60);
            format!("{} ago", humantime::format_duration(minutes))
        }
    }
}

fn bar(part: usize, whole: usize) -> Markup {
    let percent = (part * 100).checked_div(whole).unwrap_or(0).min(100);
    html! { span.bar { i style={ "width:" (percent) "%" } {} } }
}

fn gibibytes(bytes: u64) -> String {
    const MEBIBYTE: u64 = 1024 * 1024;
    let tenths = bytes / MEBIBYTE * 10 / 1024;
    format!("{}.{} GiB", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_read_as_people_say_them() {
        assert_eq!(ago(10_000, 9_500), "now");
        assert_eq!(ago(10_000, 5_000), "5 s ago");
        assert_eq!(ago(10_000, 20_000), "now");
        assert_eq!(ago(7_200_000, 0), "2h ago");
    }

    #[test]
    fn sizes_read_as_people_say_them() {
        assert_eq!(gibibytes(1536 * 1024 * 1024), "1.5 GiB");
        assert_eq!(gibibytes(0), "0.0 GiB");
    }
}
