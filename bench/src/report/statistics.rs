//! Medians, and ratios to the better peer of the same repeat.

use crate::row::Row;

/// The system whose goals these are.
pub(super) const OURS: &str = "raft";
/// The one that measures what the machine gives.
const MACHINE: &str = "machine";

/// Whether it is of a peer's, through our backend.
pub(super) fn of_peers(row: &Row) -> bool {
    row.system != OURS && row.system != MACHINE && !row.system.contains('(')
}

/// Which of two figures is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Better {
    Higher,
    Lower,
}

/// Sets the ratio of each row of ours. The rows are those of one case.
pub(crate) fn fill_ratios(rows: &mut [Row]) {
    let ratios: Vec<_> = rows.iter().map(|row| ratio(row, rows, "ops_per_s", Better::Higher)).collect();
    for (row, ratio) in rows.iter_mut().zip(ratios) {
        row.ratio = ratio;
    }
}

/// A figure of ours to that of the better peer, in the same repeat of the same case; of the last repeat of the peer
/// where that ran less often.
pub(super) fn ratio(ours: &Row, rows: &[Row], figure: &str, better: Better) -> Option<f64> {
    if ours.system != OURS {
        return None;
    }
    let of_case = |row: &&Row| row.workload == ours.workload && row.parameters == ours.parameters;
    let peers = || rows.iter().filter(of_case).filter(|row| row.system != OURS && row.system != MACHINE);
    let repeat = peers().map(|row| row.repeat).max()?.min(ours.repeat);
    let figures = peers().filter(|row| row.repeat == repeat).filter_map(|row| row.figures.named(figure));
    let best = match better {
        Better::Higher => figures.max_by(f64::total_cmp)?,
        Better::Lower => figures.min_by(f64::total_cmp)?,
    };
    (best > 0.0).then_some(ours.figures.named(figure)? / best)
}

/// The value in the middle; the mean of the two in the middle of an even number.
pub(super) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    Some(f64::midpoint(*sorted.get(sorted.len() / 2 - 1)?, upper))
}

/// How far the values lie apart, as a share of the median.
pub(super) fn spread(values: &[f64]) -> Option<f64> {
    let (least, most) =
        (values.iter().copied().min_by(f64::total_cmp)?, values.iter().copied().max_by(f64::total_cmp)?);
    let median = median(values).filter(|median| *median > 0.0)?;
    Some((most - least) / median)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::tests::row;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn the_spread_is_a_share_of_the_median() {
        assert_eq!(spread(&[90.0, 100.0, 120.0]), Some(0.3));
        assert_eq!(spread(&[]), None);
    }

    #[test]
    fn the_ratio_is_to_the_better_peer_of_the_same_repeat() {
        let mut rows = vec![
            row("raft", 1, 100.0),
            row("etcd", 1, 20.0),
            row("etcd (raw client)", 1, 50.0),
            row("raft", 2, 90.0),
            row("etcd", 2, 30.0),
            row("machine", 2, 1000.0),
        ];
        fill_ratios(&mut rows);
        let ratios: Vec<_> = rows.iter().map(|row| row.ratio).collect();
        assert_eq!(ratios, [Some(2.0), None, None, Some(3.0), None, None]);
    }

    #[test]
    fn lower_is_better_for_some() {
        let rows = [row("raft", 1, 10.0), row("etcd", 1, 40.0), row("zookeeper", 1, 20.0)];
        assert_eq!(ratio(&rows[0], &rows, "ops_per_s", Better::Lower), Some(0.5));
    }

    #[test]
    fn without_a_peer_there_is_no_ratio() {
        let mut rows = vec![row("raft", 1, 100.0)];
        fill_ratios(&mut rows);
        assert_eq!(rows[0].ratio, None);
    }

    #[test]
    fn a_peer_that_ran_once_is_compared_with_every_repeat() {
        let rows = [row("raft", 1, 10.0), row("etcd", 1, 5.0), row("raft", 2, 20.0)];
        assert_eq!(ratio(&rows[2], &rows, "ops_per_s", Better::Higher), Some(4.0));
    }
}
