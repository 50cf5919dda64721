//! The names of requests for a lock, and their order.

/// What Curator puts between the protection of a name and its sequence.
const LOCK: &str = "lock-";
/// The same in the names that kazoo gives.
const KAZOO_LOCK: &str = "__lock__";

/// The name of a request without its sequence, as Curator's `withProtection` makes it. The unique part finds the node
/// when the answer to its creation was lost.
pub(super) fn prefix(unique: u128) -> String {
    let digits = format!("{unique:032x}");
    let parts = [(0, 8), (8, 12), (12, 16), (16, 20), (20, 32)];
    let groups: Vec<_> = parts.iter().filter_map(|(from, to)| digits.get(*from..*to)).collect();
    format!("_c_{}-{LOCK}", groups.join("-"))
}

/// A random identifier of version 4, as Java's `UUID.randomUUID` gives.
pub(super) fn unique() -> u128 {
    let random: u128 = rand::random();
    random & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62)
}

/// The requests among the children of a base path, first the one that holds the lock.
pub(super) fn in_order(names: Vec<String>) -> Vec<String> {
    let mut numbered: Vec<_> = names.into_iter().filter_map(|name| Some((sequence(&name)?, name))).collect();
    numbered.sort_unstable();
    numbered.into_iter().map(|(_, name)| name).collect()
}

/// The sequence of a request; `None` for what is none, such as the base path of a lock whose name begins with this one's.
fn sequence(name: &str) -> Option<i32> {
    let digits = match name.rfind(LOCK) {
        Some(at) => name.get(at + LOCK.len()..),
        None => name.rfind(KAZOO_LOCK).and_then(|at| name.get(at + KAZOO_LOCK.len()..)),
    }?;
    let long_enough = digits.len() >= 10;
    digits.parse().ok().filter(|_| long_enough)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_that_of_the_sequence_and_not_of_the_names() {
        let names = [
            "_c_ffffffff-0000-4000-8000-000000000000-lock-0000000003",
            "_c_00000000-0000-4000-8000-000000000000-lock-0000000007",
            "8f3e__lock__0000000005",
            "lock-0000000001",
            "1",
            "x-lock-7",
            "lock-leases",
        ];
        let order = in_order(names.map(str::to_owned).to_vec());
        let expected = [names[3], names[0], names[2], names[1]];
        assert_eq!(order, expected);
    }

    #[test]
    fn a_name_is_one_that_curator_understands() {
        let prefix = prefix(0x0123_4567_89ab_4def_8123_4567_89ab_cdef);
        assert_eq!(prefix, "_c_01234567-89ab-4def-8123-456789abcdef-lock-");
        assert_eq!(sequence(&format!("{prefix}0000000042")), Some(42));
        let random = super::prefix(unique());
        assert_eq!((random.as_bytes()[17], random.len()), (b'4', prefix.len()), "{random}");
    }
}
