//! Slots: how the masters split the instances among themselves without talking to each other.
//!
//! Every master sorts the names of the live masters; its slot is its own place. An instance belongs to the slot that its
//! name hashes to. While memberships differ between masters for a moment, two may believe that an instance is theirs, or
//! none: the lock of the instance decides, so an overlap is harmless, and a gap is short.

use crate::name::Name;

/// The place of one master among the live ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    /// Its own slot, from 0.
    pub(crate) index: usize,
    /// How many there are.
    pub(crate) count: usize,
}

impl Slot {
    /// The place of `own` among `masters`, which are in order; `None` when it is not among them.
    pub(crate) fn among(masters: &[Name], own: &Name) -> Option<Self> {
        let index = masters.binary_search(own).ok()?;
        Some(Self { index, count: masters.len() })
    }

    /// Whether an instance belongs to this slot.
    pub(crate) fn holds(self, instance: &Name) -> bool {
        slot_of(instance, self.count) == Some(self.index)
    }
}

/// The slot of an instance among so many; `None` among none.
fn slot_of(instance: &Name, count: usize) -> Option<usize> {
    let count = u64::try_from(count).ok()?;
    fnv1a(instance.as_str().as_bytes()).checked_rem(count).and_then(|slot| usize::try_from(slot).ok())
}

/// FNV-1a, 64 bits (<http://www.isthe.com/chongo/tech/comp/fnv/>): the same in every version of every master.
fn fnv1a(bytes: &[u8]) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    bytes.iter().fold(OFFSET, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(texts: &[&str]) -> Vec<Name> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn every_instance_belongs_to_exactly_one_master() {
        let masters = names(&["master-1", "master-2", "master-3"]);
        for number in 0..1000 {
            let instance: Name = format!("demo-{number}").parse().unwrap();
            let owners = masters.iter().filter(|own| Slot::among(&masters, own).unwrap().holds(&instance)).count();
            assert_eq!(owners, 1);
        }
    }

    #[test]
    fn the_split_is_roughly_even() {
        let masters = names(&["a", "b", "c"]);
        let slot = Slot::among(&masters, &masters[1]).unwrap();
        let held = (0..3000).filter(|number| slot.holds(&format!("demo-{number}").parse().unwrap())).count();
        assert!((800..1200).contains(&held), "{held} of 3000");
    }

    #[test]
    fn who_is_not_a_member_has_no_slot() {
        assert_eq!(Slot::among(&names(&["a", "b"]), &names(&["c"])[0]), None);
        assert_eq!(Slot::among(&[], &names(&["c"])[0]), None);
    }

    #[test]
    fn the_hash_is_the_published_one() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
