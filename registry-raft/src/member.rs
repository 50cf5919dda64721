//! A member: what runs inside a process that belongs to the group.
