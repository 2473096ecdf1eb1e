//! Records of one request that a joined reply waits for (`a & b -> egress`): each is here whole, and all of
//! them together are bounded by what a reply may hold.

use super::record::Record;
use hacher_libos_net::headers;
use hacher_libos_net::inlet::Upstream;

/// One record of a joined reply.
pub(crate) struct Part {
    pub(crate) record: Record,
    /// Who sent it.
    pub(crate) upstream: Upstream,
}

/// The records of one request that have come so far, by the join that they belong to.
#[derive(Default)]
pub(super) struct Parts {
    joins: Vec<Join>,
}

/// One way to a reply: a record of each of its members.
struct Join {
    group: u32,
    /// Of the bodies that are here.
    body_bytes: u64,
    /// By the place of the member in the chain file.
    members: Vec<Option<Part>>,
}

/// What becomes of a part.
pub(super) enum Added {
    /// Others are missing.
    Waiting,
    /// Its member has brought one before: a function ran again.
    Duplicate,
    /// It was the last one.
    Complete(Vec<Part>),
}

impl Part {
    /// Bytes of its body; 0 if its headers cannot be told from it, which is found out later.
    pub(super) fn body_bytes(&self) -> u64 {
        let Ok((_, body)) = headers::split(self.record.first()) else {
            return 0;
        };
        let head_bytes = self.record.first().len() - body.len();
        self.record.len_bytes().saturating_sub(head_bytes) as u64
    }
}

impl Parts {
    /// Bytes of the bodies that are here of one join.
    pub(super) fn bytes_of(&self, group: u32) -> u64 {
        self.join(group).map_or(0, |join| join.body_bytes)
    }

    /// Whether this member has brought its record.
    pub(super) fn has(&self, upstream: &Upstream) -> bool {
        let members = self.join(upstream.group).map(|join| &join.members);
        members.is_some_and(|members| matches!(members.get(upstream.member as usize), Some(Some(_))))
    }

    fn join(&self, group: u32) -> Option<&Join> {
        self.joins.iter().find(|join| join.group == group)
    }

    /// How many records are here.
    pub(super) fn count(&self) -> u64 {
        let members = self.joins.iter().flat_map(|join| &join.members);
        members.flatten().count() as u64
    }

    /// Adds a record.
    pub(super) fn add(&mut self, part: Part) -> Added {
        let Upstream {
            group,
            group_width,
            member,
            ..
        } = part.upstream;
        let at = self.joins.iter().position(|join| join.group == group);
        let at = at.unwrap_or_else(|| {
            let members = core::iter::repeat_with(|| None).take(group_width as usize);
            let members = members.collect();
            self.joins.push(Join {
                group,
                body_bytes: 0,
                members,
            });
            self.joins.len() - 1
        });
        let body_bytes = part.body_bytes();
        // The monitor numbers members below the width.
        let Some(join) = self.joins.get_mut(at) else {
            return Added::Duplicate;
        };
        match join.members.get_mut(member as usize) {
            Some(place @ None) => *place = Some(part),
            Some(Some(_)) | None => return Added::Duplicate,
        }
        join.body_bytes += body_bytes;
        if join.members.iter().any(Option::is_none) {
            return Added::Waiting;
        }
        let join = self.joins.swap_remove(at);
        Added::Complete(join.members.into_iter().flatten().collect())
    }

    /// Of the join that most is here of: who has sent its part.
    pub(super) fn here(&self) -> Vec<String> {
        let count = |join: &&Join| join.members.iter().flatten().count();
        let fullest = self.joins.iter().max_by_key(count);
        let parts = fullest.into_iter().flat_map(|join| join.members.iter().flatten());
        parts.map(|part| source_name(&part.upstream)).collect()
    }
}

/// A port as chain files write it.
pub(super) fn source_name(upstream: &Upstream) -> String {
    const DEFAULT_PORT: &str = "out";
    if upstream.port == *DEFAULT_PORT {
        upstream.function.to_string()
    } else {
        format!("{}.{}", upstream.function, upstream.port)
    }
}

#[cfg(test)]
mod tests {
    use super::super::budget::Budget;
    use super::*;
    use hacher_libos_net::name::Name;

    fn part(function: &str, group: u32, member: u32, body: &[u8]) -> Part {
        let account = Budget::of_this_process().account(1 << 20);
        let upstream = Upstream {
            function: Name::new(function).unwrap(),
            port: Name::new("out").unwrap(),
            function_index: 1,
            group,
            group_width: 2,
            member,
            fault: false,
            streams: false,
        };
        let record = Record::beginning_with([&[0, 0], body].concat(), &account);
        Part { record, upstream }
    }

    #[test]
    fn a_join_is_complete_in_the_order_of_its_members_and_counts_none_twice() {
        let mut parts = Parts::default();
        assert!(matches!(parts.add(part("b", 1, 1, b"four")), Added::Waiting));
        assert!(matches!(parts.add(part("b", 1, 1, b"again")), Added::Duplicate));
        assert!(matches!(parts.add(part("c", 0, 0, b"1")), Added::Waiting));
        assert!(matches!(
            parts.add(part("x", 1, 2, b"no such member")),
            Added::Duplicate
        ));
        // What another join holds does not count against this one's limit.
        assert_eq!(
            (parts.bytes_of(1), parts.bytes_of(0), parts.bytes_of(2)),
            (4, 1, 0)
        );
        assert_eq!(parts.count(), 2);
        assert!(parts.has(&part("b", 1, 1, b"").upstream) && !parts.has(&part("a", 1, 0, b"").upstream));
        let Added::Complete(whole) = parts.add(part("a", 1, 0, b"first")) else {
            panic!("both are here");
        };
        let names: Vec<_> = whole.iter().map(|part| source_name(&part.upstream)).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(parts.here(), ["c"]);
    }
}
