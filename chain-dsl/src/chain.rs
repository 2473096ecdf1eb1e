//! A checked chain: what the rest of the system is built from.
//!
//! All fields are private and nothing but the checker makes these values, so whoever holds a [`Chain`]
//! knows that it kept every rule: names resolve, the graph has no cycle, every function lies on a way
//! from ingress to egress, every value is within its bounds.

use std::net::SocketAddr;
use std::time::Duration;

use crate::function::{Function, PortId};
use crate::keys;
use crate::request::Methods;
use crate::route::Route;
use crate::units::ByteSize;

/// A function of one chain, by its place in [`Chain::functions`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FunctionId(pub(crate) u16);

impl FunctionId {
    /// Its place in [`Chain::functions`].
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// An edge of one chain, by its place in [`Chain::edges`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EdgeId(pub(crate) u16);

impl EdgeId {
    /// Its place in [`Chain::edges`].
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// One way into a target, by its place in [`Chain::groups`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub(crate) u16);

impl GroupId {
    /// Its place in [`Chain::groups`].
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// Where an edge begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// The request, as the gateway seals it.
    Ingress,
    /// An output port of a function.
    Function(FunctionId, PortId),
}

/// Where an edge ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// A function runs on the record.
    Function(FunctionId),
    /// The record is the answer.
    Egress,
}

/// One hand-over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edge {
    pub(crate) from: Source,
    pub(crate) to: Target,
    pub(crate) group: GroupId,
    pub(crate) protection: Protection,
    pub(crate) stream: Option<bool>,
}

impl Edge {
    /// Where it begins.
    #[must_use]
    pub fn from(&self) -> Source {
        self.from
    }

    /// Where it ends.
    #[must_use]
    pub fn to(&self) -> Target {
        self.to
    }

    /// The way into its target that it belongs to.
    #[must_use]
    pub fn group(&self) -> GroupId {
        self.group
    }

    /// How its records are protected: what its own table says, or the chain.
    #[must_use]
    pub fn protection(&self) -> Protection {
        self.protection
    }

    /// What its own table says of streaming; [`Chain::streams`] is what holds.
    #[must_use]
    pub fn stream(&self) -> Option<bool> {
        self.stream
    }
}

/// One way into a target. A group of one edge runs its target on each record; a group of several is a
/// join, and runs it once a record of each has come. Groups of one target are alternatives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    pub(crate) to: Target,
    pub(crate) edges: Vec<EdgeId>,
}

impl Group {
    /// The target.
    #[must_use]
    pub fn to(&self) -> Target {
        self.to
    }

    /// Its edges, at least one, in the order of the file.
    #[must_use]
    pub fn edges(&self) -> &[EdgeId] {
        &self.edges
    }

    /// Whether the target waits for more than one record.
    #[must_use]
    pub fn is_join(&self) -> bool {
        self.edges.len() > 1
    }
}

/// The files with which a chain's own gateway speaks TLS, as written: relative to the chain file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    pub(crate) cert: String,
    pub(crate) key: String,
    pub(crate) client_ca: Option<String>,
}

impl Tls {
    /// The certificate chain.
    #[must_use]
    pub fn cert(&self) -> &str {
        &self.cert
    }

    /// The private key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Who signs clients' certificates; with it clients need one.
    #[must_use]
    pub fn client_ca(&self) -> Option<&str> {
        self.client_ca.as_deref()
    }
}

/// Where requests come in, and limits on them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ingress {
    pub(crate) max_body: ByteSize,
    pub(crate) max_reply: ByteSize,
    pub(crate) deadline: Duration,
    pub(crate) in_flight: u32,
    pub(crate) methods: Methods,
    pub(crate) headers: Vec<String>,
    pub(crate) route: Option<Route>,
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) tls: Option<Tls>,
}

impl Ingress {
    /// The largest request body.
    #[must_use]
    pub fn max_body(&self) -> ByteSize {
        self.max_body
    }

    /// The largest reply body.
    #[must_use]
    pub fn max_reply(&self) -> ByteSize {
        self.max_reply
    }

    /// The time from accepting a request to answering it.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        self.deadline
    }

    /// How many requests may be under way at once.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// The methods that it answers.
    #[must_use]
    pub fn methods(&self) -> Methods {
        self.methods
    }

    /// Headers that it carries beside those that every chain does, at most [`keys::MAX_HEADERS`], sorted.
    #[must_use]
    pub fn headers(&self) -> &[String] {
        &self.headers
    }

    /// The path of its own.
    #[must_use]
    pub fn route(&self) -> Option<&Route> {
        self.route.as_ref()
    }

    /// Where a gateway of the chain's own listens; `None` for a chain that the shared one serves.
    #[must_use]
    pub fn listen(&self) -> Option<SocketAddr> {
        self.listen
    }

    /// What the chain's own gateway speaks TLS with; always there where it listens beyond loopback.
    #[must_use]
    pub fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }
}

/// Where the instances of a chain run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Placement {
    /// On one core, handing over with a same-core wake.
    Packed,
    /// On different cores, with a brief spin before parking.
    Spread,
    /// Chosen from the chain, the machine and the load.
    #[default]
    Auto,
}

impl Placement {
    /// The word in the file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Packed => "packed",
            Self::Spread => "spread",
            Self::Auto => "auto",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        [Self::Packed, Self::Spread, Self::Auto]
            .into_iter()
            .find(|placement| placement.as_str() == word)
    }
}

/// How records are protected between functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Protection {
    /// Authenticated encryption, one key for each port.
    #[default]
    Sealed,
    /// No cipher: memory that the two ends alone have mapped.
    Mapped,
}

impl Protection {
    /// The word in the file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sealed => "sealed",
            Self::Mapped => "mapped",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        [Self::Sealed, Self::Mapped]
            .into_iter()
            .find(|protection| protection.as_str() == word)
    }

    /// What an edge has that has no table of its own: a chain that is `mapped` says nothing of its ends.
    pub(crate) fn of_edge(self, from: Source, to: Target) -> Self {
        if from == Source::Ingress || to == Target::Egress {
            Self::Sealed
        } else {
            self
        }
    }
}

/// What the reply is where several records of one request reach `egress`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Egress {
    /// The record that is complete first; the others are dropped.
    First,
    /// The records of a group with several edges make one reply together. Where there are other groups, the
    /// one that is complete first is the reply.
    Join,
}

impl Egress {
    /// The word in the file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Join => "join",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        [Self::First, Self::Join]
            .into_iter()
            .find(|egress| egress.as_str() == word)
    }
}

/// A checked chain. Only the checker makes one.
#[derive(Debug, Clone, PartialEq)]
pub struct Chain {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) description: Option<String>,
    pub(crate) placement: Placement,
    pub(crate) protection: Protection,
    pub(crate) egress: Option<Egress>,
    pub(crate) ingress: Ingress,
    pub(crate) functions: Vec<Function>,
    pub(crate) edges: Vec<Edge>,
    pub(crate) groups: Vec<Group>,
    pub(crate) order: Vec<FunctionId>,
}

impl Chain {
    /// Its name, as in `/chains/NAME`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its version.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// What it does.
    #[must_use]
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    /// Where its instances run.
    #[must_use]
    pub fn placement(&self) -> Placement {
        self.placement
    }

    /// How records between its functions are protected, where an edge does not say otherwise;
    /// [`Edge::protection`] is what holds.
    #[must_use]
    pub fn protection(&self) -> Protection {
        self.protection
    }

    /// What its file says of several records at `egress`; without a word, the first one is the reply.
    #[must_use]
    pub fn egress(&self) -> Option<Egress> {
        self.egress
    }

    /// Limits on what comes in.
    #[must_use]
    pub fn ingress(&self) -> &Ingress {
        &self.ingress
    }

    /// Its functions, 1 to 256, in the order of the file.
    #[must_use]
    pub fn functions(&self) -> &[Function] {
        &self.functions
    }

    /// Its functions with their ids.
    pub fn functions_with_ids(&self) -> impl Iterator<Item = (FunctionId, &Function)> {
        (0..).map(FunctionId).zip(&self.functions)
    }

    /// One function; `None` when the id is of another chain.
    #[must_use]
    pub fn function(&self, id: FunctionId) -> Option<&Function> {
        self.functions.get(id.index())
    }

    /// The function with a name.
    #[must_use]
    pub fn function_named(&self, name: &str) -> Option<(FunctionId, &Function)> {
        self.functions_with_ids()
            .find(|(_, function)| function.name == name)
    }

    /// Its edges, at most 1,024; those of one group stand together.
    #[must_use]
    pub fn edges(&self) -> &[Edge] {
        &self.edges
    }

    /// One edge; `None` when the id is of another chain.
    #[must_use]
    pub fn edge(&self, id: EdgeId) -> Option<&Edge> {
        self.edges.get(id.index())
    }

    /// Its edges with their ids.
    pub fn edges_with_ids(&self) -> impl Iterator<Item = (EdgeId, &Edge)> {
        (0..).map(EdgeId).zip(&self.edges)
    }

    /// The ways into its targets.
    #[must_use]
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// One way into a target; `None` when the id is of another chain.
    #[must_use]
    pub fn group(&self, id: GroupId) -> Option<&Group> {
        self.groups.get(id.index())
    }

    /// The alternative ways into one target: each is one record, or a join of several.
    pub fn groups_into(&self, to: Target) -> impl Iterator<Item = (GroupId, &Group)> {
        (0..)
            .map(GroupId)
            .zip(&self.groups)
            .filter(move |(_, group)| group.to == to)
    }

    /// The edges into one target, of all its groups.
    pub fn edges_into(&self, to: Target) -> impl Iterator<Item = (EdgeId, &Edge)> {
        self.edges_with_ids().filter(move |(_, edge)| edge.to == to)
    }

    /// The edges that take from one source: more than one is a fan-out of the same sealed record.
    pub fn edges_from(&self, from: Source) -> impl Iterator<Item = (EdgeId, &Edge)> {
        self.edges_with_ids().filter(move |(_, edge)| edge.from == from)
    }

    /// Whether the reader of an edge reads records as streams: where the edge says so, or a function says it
    /// of itself, and of what such a function writes to egress, the client. What is joined is held.
    #[must_use]
    pub fn streams(&self, edge: &Edge) -> bool {
        if self.group(edge.group).is_none_or(Group::is_join) {
            return false;
        }
        if let Some(stream) = edge.stream {
            return stream;
        }
        let reader = match (edge.from, edge.to) {
            (_, Target::Function(id)) | (Source::Function(id, _), Target::Egress) => self.function(id),
            (Source::Ingress, Target::Egress) => None,
        };
        reader.is_some_and(Function::stream)
    }

    /// The functions so that each comes after all that it takes from.
    #[must_use]
    pub fn order(&self) -> &[FunctionId] {
        &self.order
    }

    /// A source as the file writes it: `ingress`, `decode`, `decode.reject`.
    #[must_use]
    pub fn source_name(&self, source: Source) -> String {
        match source {
            Source::Ingress => "ingress".to_owned(),
            Source::Function(id, port) => {
                let function = self.function(id);
                let name = function.map_or("?", Function::name);
                match function.and_then(|function| function.port_name(port)) {
                    Some(keys::DEFAULT_PORT) => name.to_owned(),
                    port => format!("{name}.{}", port.unwrap_or("?")),
                }
            }
        }
    }

    /// An edge as the file writes it: `decode.reject -> egress`.
    #[must_use]
    pub fn edge_name(&self, edge: &Edge) -> String {
        format!("{} -> {}", self.source_name(edge.from), self.target_name(edge.to))
    }

    /// A target as the file writes it: `egress` or a function's name.
    #[must_use]
    pub fn target_name(&self, target: Target) -> &str {
        match target {
            Target::Egress => "egress",
            Target::Function(id) => self.function(id).map_or("?", Function::name),
        }
    }
}
