//! Questions of clients, with a socket in the monitor's place.

use super::*;
use hacher_libos_net::attach::{MESSAGE_MAX_BYTES, MessageHeader, seqpacket};
use rustix::fd::OwnedFd;
use rustix::net::RecvFlags;

const MIB: u64 = 1 << 20;

/// The monitor's end of the channel.
struct Monitor(OwnedFd);

impl Monitor {
    /// The number of the next question, once it was asked.
    async fn question(&self) -> u32 {
        loop {
            let mut buffer = [0; MESSAGE_MAX_BYTES];
            match seqpacket::receive(&self.0, &mut buffer, RecvFlags::DONTWAIT) {
                Ok(Some((len, _))) => {
                    let header = size_of::<MessageHeader>();
                    assert_eq!(len, header + size_of::<AskEvidence>());
                    return u32::from_ne_bytes(*buffer[header..].first_chunk().unwrap());
                }
                _ => tokio::task::yield_now().await,
            }
        }
    }
}

fn part(question: u32, status: u32, len: usize) -> EvidenceAnswer {
    EvidenceAnswer {
        question,
        status,
        bytes: vec![7; len],
    }
}

fn question(number: u8) -> Question {
    let nonce: String = [number; 64].iter().map(|byte| format!("{byte:02x}")).collect();
    Question::of_query(&format!("nonce={nonce}"), None).unwrap()
}

/// A gateway with so much memory, of which all but `common` bytes are reserved.
fn evidence(common: u64) -> (Monitor, Rc<Evidence>) {
    let budget = Budget::new(4096 * MIB);
    budget.account(budget.common_bytes() - common);
    let (ours, theirs) = seqpacket::pair().unwrap();
    let channel = Rc::new(Channel::new(ours));
    (Monitor(theirs), Rc::new(Evidence::new(channel, &budget)))
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test);
}

/// Asks, and has the monitor answer with so many bytes.
async fn answered(monitor: &Monitor, evidence: &Rc<Evidence>, asked: Question, len: usize) -> Rc<Kept> {
    let (answer, ()) = tokio::join!(evidence.of(Client::HERE, &asked), async {
        let number = monitor.question().await;
        evidence.take(&part(number, evidence_status::PART, len / 2));
        evidence.take(&part(number, evidence_status::LAST, len - len / 2));
    });
    answer.unwrap()
}

#[test]
fn a_question_that_is_repeated_has_the_same_answer_and_what_is_kept_has_its_bounds() {
    run(async {
        let (monitor, evidence) = evidence(16 * MIB);
        let first = answered(&monitor, &evidence, question(1), 1000).await;
        let again = evidence.of(Client::HERE, &question(1)).await.unwrap();
        assert!(Rc::ptr_eq(&first, &again), "the monitor is not asked");
        // A sixteenth of what nobody has reserved: 1 MiB. Those before give way, and none is refused for it.
        let mut alive = Vec::new();
        for number in 2..30 {
            let kept = answered(&monitor, &evidence, question(number), 400_000).await;
            assert_eq!(kept.bytes.len(), 400_000);
            alive.push(Rc::downgrade(&kept));
        }
        drop((first, again));
        let kept = alive.iter().filter(|kept| kept.strong_count() > 0).count();
        assert_eq!(kept, 2);
        assert!(evidence.account.used_bytes() <= MIB);
        // One that is longer than all that may be kept is handed out and not kept.
        let long = answered(&monitor, &evidence, question(40), 1_100_000).await;
        assert!(evidence.kept(&question(40)).is_none());
        drop(long);
        evidence.forget();
        assert_eq!(evidence.account.used_bytes(), 0);
    });
}

#[test]
fn an_answer_is_charged_while_it_comes_and_what_is_kept_gives_way() {
    run(async {
        // Of which an account may have a half.
        let (monitor, evidence) = evidence(4 * MIB);
        drop(answered(&monitor, &evidence, question(1), 200_000).await);
        assert_eq!(evidence.account.used_bytes(), 200_000);
        let other = evidence.account.charge(2 * MIB - 300_000).unwrap();
        drop(answered(&monitor, &evidence, question(2), 250_000).await);
        assert!(evidence.kept(&question(1)).is_none(), "it made room");
        assert!(evidence.kept(&question(2)).is_some());
        let asked = question(3);
        let (answer, ()) = tokio::join!(evidence.of(Client::HERE, &asked), async {
            let number = monitor.question().await;
            evidence.take(&part(number, evidence_status::PART, 100_000));
            let charged = evidence.account.used_bytes();
            assert!(charged >= 2 * MIB - 300_000 + 100_000, "{charged}");
            evidence.take(&part(number, evidence_status::PART, 500_000));
        });
        assert_eq!(answer.err(), Some(Denied::NoRoom));
        drop(other);
        assert_eq!(evidence.account.used_bytes(), 0);
    });
}

#[test]
fn what_was_asked_before_a_renewal_is_not_kept_behind_it() {
    run(async {
        let (monitor, evidence) = evidence(16 * MIB);
        let asked = question(1);
        let (answer, ()) = tokio::join!(evidence.of(Client::HERE, &asked), async {
            let number = monitor.question().await;
            evidence.forget();
            evidence.take(&part(number, evidence_status::LAST, 10));
        });
        answer.unwrap();
        assert!(evidence.kept(&asked).is_none());
        answered(&monitor, &evidence, question(1), 10).await;
        assert!(evidence.kept(&asked).is_some());
    });
}
