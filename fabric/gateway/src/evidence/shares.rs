//! How much of the monitor's and the platform's time clients may have for evidence, all of them together and
//! each of them: whoever asks without end leaves time for others, and places in the queue.

use super::allowance::Allowance;
use crate::client::Client;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// All clients: one part in so many of all time, and so much at once after a quiet time.
const ALL: (u32, Duration) = (2, Duration::from_millis(250));
/// Each of them. Beyond that, a client may have what is left as long as it leaves this part of what there is
/// at once, which is there for whoever has not asked yet.
const EACH: (u32, Duration) = (4, Duration::from_millis(125));
const LEFT_TO_OTHERS: Duration = Duration::from_millis(125);
/// Clients whose time is counted. Of more, those are forgotten that have not asked for longest: what all of
/// them have together is bounded as well.
const COUNTED_MAX: usize = 256;
/// Questions that wait at a time, and those of one client.
const WAITING_MAX: usize = 32;
const WAITING_EACH: usize = 8;

/// Who may ask.
#[derive(Debug)]
pub(super) struct Shares {
    all: Allowance,
    each: BTreeMap<Client, Allowance>,
    /// Whose questions wait.
    waiting: Vec<Client>,
}

/// Whose time a question is paid with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Paid {
    /// The client's own, too.
    ByClient,
    /// What others have left alone.
    FromWhatIsLeft,
}

impl Shares {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            all: Allowance::full(ALL.0, ALL.1, now),
            each: BTreeMap::new(),
            waiting: Vec::new(),
        }
    }

    /// Takes a place in the queue; `false` if there is none for this client.
    pub(super) fn wait(&mut self, client: Client) -> bool {
        let own = self.waiting.iter().filter(|waiting| **waiting == client).count();
        let may = own < WAITING_EACH && self.waiting.len() < WAITING_MAX;
        if may {
            self.waiting.push(client);
        }
        may
    }

    /// Gives it back.
    pub(super) fn leave(&mut self, client: Client) {
        if let Some(at) = self.waiting.iter().position(|waiting| *waiting == client) {
            self.waiting.swap_remove(at);
        }
    }

    /// Whether a client's question may begin; else, after how long.
    pub(super) fn begin(&mut self, client: Client, now: Instant) -> Result<Paid, Duration> {
        let own = self.of(client, now).begin(now, Duration::ZERO);
        match own {
            Ok(()) => self.all.begin(now, Duration::ZERO).map(|()| Paid::ByClient),
            Err(wait) => match self.all.begin(now, LEFT_TO_OTHERS) {
                Ok(()) => Ok(Paid::FromWhatIsLeft),
                Err(longer) => Err(wait.min(longer)),
            },
        }
    }

    /// A question that began has ended.
    pub(super) fn spend(&mut self, client: Client, paid: Paid, took: Duration) {
        self.all.spend(took);
        if paid == Paid::ByClient
            && let Some(own) = self.each.get_mut(&client)
        {
            own.spend(took);
        }
    }

    fn of(&mut self, client: Client, now: Instant) -> &mut Allowance {
        if self.each.len() >= COUNTED_MAX && !self.each.contains_key(&client) {
            let longest = self.each.iter().min_by_key(|(_, own)| own.seen());
            if let Some(client) = longest.map(|(client, _)| *client) {
                self.each.remove(&client);
            }
        }
        let full = || Allowance::full(EACH.0, EACH.1, now);
        self.each.entry(client).or_insert_with(full)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(number: u32) -> Client {
        Client::at(std::net::Ipv4Addr::from_bits(number).into())
    }

    /// Asks as often as it may; how often that is.
    fn hogs(shares: &mut Shares, hog: Client, now: Instant, took: Duration) -> u32 {
        let mut count = 0;
        while let Ok(paid) = shares.begin(hog, now) {
            shares.spend(hog, paid, took);
            count += 1;
            assert!(count < 10_000);
        }
        count
    }

    #[test]
    fn who_asks_without_end_leaves_time_for_others() {
        let start = Instant::now();
        let (hog, modest) = (client(1), client(2));
        for took in [
            Duration::ZERO,
            Duration::from_millis(20),
            Duration::from_millis(120),
        ] {
            let mut shares = Shares::new(start);
            let mut now = start;
            for _ in 0..1000 {
                now += Duration::from_millis(5);
                hogs(&mut shares, hog, now, took);
                if took <= Duration::from_millis(20) {
                    assert!(shares.begin(modest, now).is_ok(), "at any time");
                }
            }
            let paid = (0..1000).find_map(|_| {
                now += Duration::from_millis(5);
                hogs(&mut shares, hog, now, took);
                shares.begin(modest, now).ok()
            });
            assert_eq!(paid, Some(Paid::ByClient));
        }
    }

    #[test]
    fn a_client_alone_has_what_there_is_for_all() {
        let start = Instant::now();
        let mut shares = Shares::new(start);
        let mut now = start;
        let mut count = hogs(&mut shares, client(1), now, Duration::ZERO);
        assert_eq!(count, 125, "the rest is for others");
        for _ in 0..100 {
            now += Duration::from_millis(20);
            count += hogs(&mut shares, client(1), now, Duration::ZERO);
        }
        assert_eq!(count, 125 + 1000, "half of two seconds");
    }

    #[test]
    fn so_many_clients_are_counted_and_all_of_them_have_no_more_than_their_part() {
        let start = Instant::now();
        let mut shares = Shares::new(start);
        let mut count = 0;
        for number in 0..10_000 {
            count += hogs(&mut shares, client(number), start, Duration::ZERO);
        }
        assert_eq!(count, 250);
        assert!(shares.each.len() <= COUNTED_MAX);
    }

    #[test]
    fn places_in_the_queue_are_shared() {
        let mut shares = Shares::new(Instant::now());
        let taken = (0..100).filter(|_| shares.wait(client(1))).count();
        assert_eq!(taken, WAITING_EACH);
        assert!(shares.wait(client(2)));
        let more = (3..100).filter(|number| shares.wait(client(*number))).count();
        assert_eq!(taken + 1 + more, WAITING_MAX);
        shares.leave(client(1));
        assert!(shares.wait(client(1)) && !shares.wait(client(2)));
    }
}
