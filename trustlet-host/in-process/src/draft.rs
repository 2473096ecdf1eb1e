//! The chain that is to be defined.

use core::time::Duration;

/// A function of a [`Draft`], its gateway, or a carrier: the number that the monitor gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Node(pub(crate) usize);

/// The gateway, in every chain.
pub(crate) const GATEWAY: Node = Node(0);

/// Limits of one function, to be changed through [`Draft::limits`]. Of the gateway, those count that a chain
/// says.
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
    /// For how long to look for work before going to sleep. Longer than the monitor allows, a trustlet is
    /// told so all the same.
    pub spin: Duration,
    /// The core that it is placed on.
    pub core: Option<u32>,
    /// Whether it takes turns with others on its core.
    pub takes_turns: bool,
    /// Bits of [`hacher_libos_net::attach::outbox_flag`].
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
            core: None,
            takes_turns: false,
            outbox_flags: 0,
        }
    }
}

/// How the records of an edge travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Sealed.
    Sealed,
    /// In a region of their own.
    Mapped,
    /// Sealed, over a carrier.
    Carried(Node),
}

#[derive(Debug)]
pub(crate) struct DraftedNode {
    pub(crate) name: String,
    pub(crate) ports: Vec<String>,
    pub(crate) limits: Limits,
    pub(crate) is_carrier: bool,
    groups: u32,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct DraftedEdge {
    pub(crate) from: Node,
    pub(crate) port_index: usize,
    pub(crate) to: Node,
    pub(crate) group: u32,
    pub(crate) member: u32,
    pub(crate) way: Way,
}

/// The chain that is to be defined. It always has a gateway.
#[derive(Debug)]
pub struct Draft {
    /// By their numbers.
    pub(crate) nodes: Vec<DraftedNode>,
    pub(crate) edges: Vec<DraftedEdge>,
    pub(crate) deadline: Duration,
}

impl Default for Draft {
    fn default() -> Self {
        let mut draft = Self {
            nodes: Vec::new(),
            edges: Vec::new(),
            deadline: Duration::from_secs(30),
        };
        draft.add("gateway", &["ingress"], false);
        draft
    }
}

impl Draft {
    /// A chain without functions.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn add(&mut self, name: &str, ports: &[&str], is_carrier: bool) -> Node {
        self.nodes.push(DraftedNode {
            name: name.to_owned(),
            ports: ports.iter().map(|port| (*port).to_owned()).collect(),
            limits: Limits::default(),
            is_carrier,
            groups: 0,
        });
        Node(self.nodes.len() - 1)
    }

    /// The gateway, which has one port. A test calls it as it likes.
    pub fn gateway(&mut self, [port]: &[&str; 1]) -> Node {
        (*port).clone_into(&mut self.nodes[GATEWAY.0].ports[0]);
        GATEWAY
    }

    /// Adds a function with these output ports.
    pub fn function(&mut self, function: &str, ports: &[&str]) -> Node {
        self.add(function, ports, false)
    }

    /// Adds a carrier, which relays what [`Self::carried_edge`] leads over it, and has one instance.
    pub fn carrier(&mut self, name: &str) -> Node {
        self.add(name, &[], true)
    }

    /// Sets how long a request may take in all; 30 seconds otherwise.
    pub fn set_deadline(&mut self, deadline: Duration) {
        self.deadline = deadline;
    }

    /// The limits of `node`.
    pub fn limits(&mut self, node: Node) -> &mut Limits {
        &mut self.nodes[node.0].limits
    }

    /// Lets the records of a port flow to `to`, alone.
    pub fn edge(&mut self, from: (Node, &str), to: Node) {
        self.join(&[from], to);
    }

    /// As [`Self::edge`], but the records are mapped, and not sealed.
    pub fn mapped_edge(&mut self, from: (Node, &str), to: Node) {
        self.mapped_join(&[from], to);
    }

    /// As [`Self::edge`], but the records go over `carrier`. The monitor refuses it if the port has another
    /// edge: its one consumer alone gets its key.
    pub fn carried_edge(&mut self, from: (Node, &str), carrier: Node, to: Node) {
        self.add_join(&[from], to, Way::Carried(carrier));
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
        let group = self.nodes[to.0].groups;
        self.nodes[to.0].groups += 1;
        for (member, (from, port)) in members.iter().enumerate() {
            let ports = &self.nodes[from.0].ports;
            let port_index = ports.iter().position(|known| known == port);
            self.edges.push(DraftedEdge {
                from: *from,
                port_index: port_index.expect("an edge starts at a port of its function"),
                to,
                group,
                member: member as u32,
                way,
            });
        }
    }

    /// Adds what a test leaves out and the monitor asks for: a way from ingress to every function, one to
    /// egress, and room in carriers. It stands behind what the test has asked for, so that rings have the
    /// numbers that the test expects.
    pub(crate) fn complete(&mut self) {
        for at in 1..self.nodes.len() {
            let is_reached = self.edges.iter().any(|edge| edge.to.0 == at);
            if !is_reached && !self.nodes[at].is_carrier {
                let ingress = self.nodes[GATEWAY.0].ports[0].clone();
                self.edge((GATEWAY, &ingress), Node(at));
            }
        }
        if !self.edges.iter().any(|edge| edge.to == GATEWAY) {
            let is_free = |node: usize, port: usize| {
                let mut edges = self.edges.iter();
                !edges.any(|edge| (edge.from.0, edge.port_index) == (node, port))
            };
            let ports = |node: usize| (0..self.nodes[node].ports.len()).map(move |port| (node, port));
            let mut free = (1..self.nodes.len()).rev().flat_map(ports);
            let (node, port) = free
                .find(|(node, port)| is_free(*node, *port))
                .expect("a port that can lead to egress");
            let name = self.nodes[node].ports[port].clone();
            self.edge((Node(node), &name), GATEWAY);
        }
        self.make_room_for_carriers();
    }

    /// A carrier holds what all its producers hold.
    fn make_room_for_carriers(&mut self) {
        let mut carried_bytes = vec![0; self.nodes.len()];
        for edge in &self.edges {
            let Way::Carried(carrier) = edge.way else { continue };
            let from = &self.nodes[edge.from.0].limits;
            carried_bytes[carrier.0] += from.outbox_bytes * u64::from(from.instances);
        }
        for (node, carried_bytes) in self.nodes.iter_mut().zip(carried_bytes) {
            node.limits.outbox_bytes = node.limits.outbox_bytes.max(carried_bytes);
        }
    }
}
