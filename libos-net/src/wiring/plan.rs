//! The topology that is to be wired.

use core::time::Duration;
use hacher_data_path::name::Name;

/// A function of a [`Plan`], or its gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node(pub(super) usize);

/// Limits of one function, to be changed through [`Plan::limits`].
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Processes that run the function.
    pub instances: u32,
    /// Bytes of the outbox of each.
    pub outbox_bytes: u64,
    /// How long one run may take.
    pub timeout: Duration,
    /// Most runs on one record.
    pub retry_attempts: u32,
    /// Wait before the first retry.
    pub retry_backoff: Duration,
    /// Longest wait before a retry.
    pub retry_max: Duration,
    /// Each wait is this many thousandths of the one before.
    pub retry_factor_milli: u64,
    /// Whether waits are spread at random.
    pub retry_jitter: bool,
    /// For how long to look for work before going to sleep.
    pub spin: Duration,
    /// Whether others sit on its core, so that it gives way to them while it looks.
    pub shares_core: bool,
    /// Bits of [`hacher_data_path::attach::message::outbox_flag`].
    pub outbox_flags: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            instances: 1,
            outbox_bytes: 1 << 20,
            timeout: Duration::from_secs(5),
            retry_attempts: 1,
            retry_backoff: Duration::ZERO,
            retry_max: Duration::from_secs(1),
            retry_factor_milli: 2000,
            retry_jitter: false,
            spin: Duration::ZERO,
            shares_core: false,
            outbox_flags: 0,
        }
    }
}

#[derive(Debug)]
pub(super) struct PlannedFunction {
    pub(super) name: Name,
    pub(super) ports: Vec<PlannedPort>,
    pub(super) limits: Limits,
    groups: u32,
    pub(super) is_carrier: bool,
}

#[derive(Debug)]
pub(super) struct PlannedPort {
    pub(super) name: Name,
    pub(super) number: u32,
    pub(super) fault: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct PlannedEdge {
    pub(super) number: u32,
    pub(super) from: usize,
    pub(super) port_index: usize,
    pub(super) to: usize,
    pub(super) group: u32,
    pub(super) group_width: u32,
    pub(super) member: u32,
    pub(super) fault: bool,
    pub(super) way: Way,
}

/// How the records of an edge travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Sealed.
    Sealed,
    /// In a region of their own.
    Mapped,
    /// Sealed, over a carrier.
    Carried(usize),
}

/// The topology that is to be wired.
#[derive(Debug)]
pub struct Plan {
    pub(super) functions: Vec<PlannedFunction>,
    pub(super) edges: Vec<PlannedEdge>,
    pub(super) ports: u32,
    pub(super) gateway: Option<usize>,
    pub(super) deadline: Duration,
    /// Who wakes whom ahead.
    pub(super) ahead: Vec<(usize, usize)>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            functions: Vec::new(),
            edges: Vec::new(),
            ports: 0,
            gateway: None,
            deadline: Duration::from_secs(30),
            ahead: Vec::new(),
        }
    }
}

pub(super) fn name(text: &str) -> Name {
    Name::new(text).expect("a name of a plan has 1 to 63 bytes")
}

impl Plan {
    /// A plan without functions.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn add(&mut self, function: &str, ports: &[&str], fault: bool) -> Node {
        let names = ports.iter().map(|port| (*port, false));
        let planned = names
            .chain(fault.then_some(("fault", true)))
            .map(|(port, fault)| {
                self.ports += 1;
                PlannedPort {
                    name: name(port),
                    number: self.ports,
                    fault,
                }
            })
            .collect();
        self.functions.push(PlannedFunction {
            name: name(function),
            ports: planned,
            limits: Limits::default(),
            groups: 0,
            is_carrier: false,
        });
        Node(self.functions.len() - 1)
    }

    /// Adds the gateway, which gets the fault notices of every function; at most one, and before the
    /// functions.
    pub fn gateway(&mut self, ports: &[&str]) -> Node {
        assert!(
            self.gateway.is_none() && self.functions.is_empty(),
            "one gateway, and it comes first"
        );
        let node = self.add("gateway", ports, false);
        self.gateway = Some(node.0);
        node
    }

    /// Adds a function with these output ports.
    pub fn function(&mut self, function: &str, ports: &[&str]) -> Node {
        self.add(function, ports, true)
    }

    /// Adds a carrier, which relays what [`Self::carried_edge`] leads over it, and has one instance.
    pub fn carrier(&mut self, name: &str) -> Node {
        let node = self.add(name, &[], false);
        self.functions[node.0].is_carrier = true;
        node
    }

    /// Sets how long a request may take in all; 30 seconds otherwise.
    pub fn set_deadline(&mut self, deadline: Duration) {
        self.deadline = deadline;
    }

    /// The limits of `node`.
    pub fn limits(&mut self, node: Node) -> &mut Limits {
        &mut self.functions[node.0].limits
    }

    /// Lets the records of a port flow to `to`, alone.
    pub fn edge(&mut self, from: (Node, &str), to: Node) {
        self.join(&[from], to);
    }

    /// Has `from`, before it sleeps, wake the first instance of `next`.
    pub fn wake_ahead(&mut self, from: Node, next: Node) {
        self.ahead.push((from.0, next.0));
    }

    /// As [`Self::edge`], but the records are mapped, and not sealed.
    pub fn mapped_edge(&mut self, from: (Node, &str), to: Node) {
        self.mapped_join(&[from], to);
    }

    /// As [`Self::edge`], but the records go over `carrier`. The port has no other edge: its one consumer
    /// alone gets its key.
    pub fn carried_edge(&mut self, from: (Node, &str), carrier: Node, to: Node) {
        assert!(self.functions[carrier.0].is_carrier, "records go over a carrier");
        self.add_join(&[from], to, Way::Carried(carrier.0));
    }

    /// Lets the records of these ports flow to `to`, which waits for one of each.
    pub fn join(&mut self, members: &[(Node, &str)], to: Node) {
        self.add_join(members, to, Way::Sealed);
    }

    /// As [`Self::join`], but the records are mapped, and not sealed.
    pub fn mapped_join(&mut self, members: &[(Node, &str)], to: Node) {
        self.add_join(members, to, Way::Mapped);
    }

    fn add_join(&mut self, members: &[(Node, &str)], to: Node, way: Way) {
        let group = self.functions[to.0].groups;
        self.functions[to.0].groups += 1;
        for (member, (from, port)) in members.iter().enumerate() {
            let ports = &self.functions[from.0].ports;
            let port_index = ports.iter().position(|known| known.name == **port);
            self.edges.push(PlannedEdge {
                number: self.edges.len() as u32,
                from: from.0,
                port_index: port_index.expect("an edge starts at a port of its function"),
                to: to.0,
                group,
                group_width: members.len() as u32,
                member: member as u32,
                fault: false,
                way,
            });
        }
    }

    /// Adds what no test asks for: fault notices, and room in carriers.
    pub(super) fn complete(&mut self) {
        if let Some(gateway) = self.gateway {
            let is_function = |from: &usize| *from != gateway && !self.functions[*from].is_carrier;
            for from in (0..self.functions.len()).filter(is_function).collect::<Vec<_>>() {
                let ports = &self.functions[from].ports;
                let port_index = ports.iter().position(|port| port.fault);
                let group = self.functions[gateway].groups;
                self.functions[gateway].groups += 1;
                self.edges.push(PlannedEdge {
                    number: self.edges.len() as u32,
                    from,
                    port_index: port_index.expect("a function has a fault port"),
                    to: gateway,
                    group,
                    group_width: 1,
                    member: 0,
                    fault: true,
                    way: Way::Sealed,
                });
            }
        }
        self.make_room_for_carriers();
    }

    /// A carrier holds what all its producers hold.
    fn make_room_for_carriers(&mut self) {
        let mut carried_bytes = vec![0; self.functions.len()];
        for edge in &self.edges {
            let Way::Carried(carrier) = edge.way else { continue };
            let of_port =
                |other: &&PlannedEdge| (other.from, other.port_index) == (edge.from, edge.port_index);
            assert_eq!(
                self.edges.iter().filter(of_port).count(),
                1,
                "a carried edge has a port of its own"
            );
            let from = &self.functions[edge.from].limits;
            let producers_bytes = from.outbox_bytes * u64::from(from.instances);
            let limits = &mut self.functions[carrier].limits;
            assert_eq!(limits.instances, 1, "a carrier has one instance");
            carried_bytes[carrier] += producers_bytes;
            limits.outbox_bytes = limits.outbox_bytes.max(carried_bytes[carrier]);
        }
    }
}
