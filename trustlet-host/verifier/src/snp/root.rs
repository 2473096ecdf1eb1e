//! AMD's root and intermediate keys, pinned: `roots/README.md` says where they come from.

use super::certificate::Certificate;
use super::generation::Generation;
use super::report::SigningKey;

/// The keys of one generation.
#[derive(Debug, Clone)]
pub(crate) struct Root {
    pub(crate) generation: Generation,
    /// AMD's root key. It alone is trusted without being certified.
    pub(crate) ark: Certificate,
    /// Certifies the keys of chips.
    pub(crate) ask: Certificate,
    /// Certifies the keys of providers.
    pub(crate) asvk: Certificate,
}

impl Root {
    /// Certifies keys of this kind.
    pub(crate) const fn intermediate(&self, key: SigningKey) -> &Certificate {
        match key {
            SigningKey::Vlek => &self.asvk,
            SigningKey::Vcek | SigningKey::None => &self.ask,
        }
    }
}

/// The keys of all generations.
#[derive(Debug, Clone)]
pub(crate) struct Roots(pub(crate) Vec<Root>);

impl Roots {
    /// AMD's.
    pub(crate) fn amd() -> Self {
        let read =
            |bytes: &[u8]| Certificate::read(bytes).expect("a certificate in this crate is one of AMD's");
        let roots = AMD.iter().map(|(generation, [ark, ask, asvk])| Root {
            generation: *generation,
            ark: read(ark),
            ask: read(ask),
            asvk: read(asvk),
        });
        Self(roots.collect())
    }

    /// The keys of a generation.
    pub(crate) fn of(&self, generation: Generation) -> Option<&Root> {
        self.0.iter().find(|root| root.generation == generation)
    }
}

/// ARK, ASK and ASVK of each generation.
const AMD: [(Generation, [&[u8]; 3]); 3] = [
    (
        Generation::Milan,
        [
            include_bytes!("../../roots/milan-ark.der"),
            include_bytes!("../../roots/milan-ask.der"),
            include_bytes!("../../roots/milan-asvk.der"),
        ],
    ),
    (
        Generation::Genoa,
        [
            include_bytes!("../../roots/genoa-ark.der"),
            include_bytes!("../../roots/genoa-ask.der"),
            include_bytes!("../../roots/genoa-asvk.der"),
        ],
    ),
    (
        Generation::Turin,
        [
            include_bytes!("../../roots/turin-ark.der"),
            include_bytes!("../../roots/turin-ask.der"),
            include_bytes!("../../roots/turin-asvk.der"),
        ],
    ),
];
