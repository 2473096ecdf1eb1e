//! The daemon's loop: create what is absent, replace what dies, end what overruns; sleep otherwise.

use super::announcement::{Announcement, Failing};
use super::history::{AtWork, Health, LastEnd};
use super::life::{Life, STILLBIRTHS_MAX};
use super::logs::{self, Logs, Printer};
use super::memory::MemoryQuestion;
use super::readiness::Readiness;
use super::refused::Told;
use super::settings::{ROLE, Settings};
use super::start::{self, Stillborn, Waiting};
use super::tables::{Chain, Instance, Key, Tables};
use super::{admin, metrics, read};
use hacher_libos_net::attach::BELL_QUIET_NS;
use hacher_libos_net::clock::Monotonic;
use hacher_libos_net::doorbell;
use hacher_libos_net::end::{End, Signal};
use hacher_libos_net::fault::Cause;
use hacher_libos_net::process::take_channel;
use hacher_trustlet_host::calls::{Call, GATEWAY_PROCESS, InstanceState};
use hacher_trustlet_host::client::{ClientError, Event, MonitorClient};
use hacher_trustlet_host::core::EndReason;
use hacher_trustlet_host::lines::{self, About};
use hacher_trustlet_host::tell;
use hacher_watched::{watch, watch_shared};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::pending;
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{Instant, sleep_until};

/// While requests are in flight, handlers' timeouts are checked this often, or ten times within the shortest.
const WATCH_MIN: Duration = Duration::from_millis(5);
const WATCH_MAX: Duration = Duration::from_millis(50);
/// How often chains are looked at while an instance is not ready.
const READINESS_EVERY: Duration = Duration::from_millis(100);
/// Exit code that asks the monitor to stop everything: the service cannot start.
const CANNOT_START: u8 = hacher_trustlet_host::service::EXIT_CANNOT_START;

/// The process of the gateway with this number.
fn gateway_key(number: usize) -> Key {
    (GATEWAY_PROCESS, number as u64)
}

/// The daemon's life. Started by the monitor, with the call socket as its only channel.
#[must_use]
pub fn main() -> ExitCode {
    let settings = Settings::from_arguments(std::env::args().skip(1));
    lines::begin(settings.log_format, ROLE);
    let Some(channel) = take_channel() else {
        tell!(Error: "this process is started by `hacher-fabric serve`");
        return ExitCode::from(2);
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = match runtime {
        Ok(runtime) => LocalSet::new().block_on(&runtime, daemon(channel, settings)),
        Err(error) => Err(Stop::Error(error.to_string())),
    };
    match result {
        // Without its monitor, everything has ended.
        Ok(()) | Err(Stop::MonitorGone) => ExitCode::SUCCESS,
        Err(Stop::CannotStart(reason)) => {
            tell!(Error: "{reason}");
            ExitCode::from(CANNOT_START)
        }
        Err(Stop::Error(error)) => {
            tell!(Error: "the daemon: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Why the daemon stops.
enum Stop {
    /// The service will never be ready.
    CannotStart(String),
    /// The monitor is gone.
    MonitorGone,
    /// Something failed; a fresh daemon may do better.
    Error(String),
}

impl From<ClientError> for Stop {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Closed => Self::MonitorGone,
            other => Self::Error(other.to_string()),
        }
    }
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Self::Error(error.to_string())
    }
}

async fn daemon(channel: OwnedFd, settings: Settings) -> Result<(), Stop> {
    let own = metrics::install();
    let mut client = MonitorClient::new(channel);
    let (tables, extras) = read::all(&mut client)?;
    let tables = Rc::new(RefCell::new(tables));
    let memory = Rc::new(MemoryQuestion::default());
    let mut admin_addresses = Vec::new();
    for socket in extras.admin {
        let listener = admin::Listener::new(socket)?;
        admin_addresses.push(listener.address());
        let served = admin::serve(listener, Rc::clone(&tables), own.clone(), Rc::clone(&memory));
        spawn_local(served);
    }
    let mut logs = Logs::new(Rc::clone(&tables));
    for (printer, pipe) in extras.logs {
        logs.forward(printer, pipe);
    }
    let mut supervisor = Supervisor {
        client,
        tables,
        logs,
        lives: BTreeMap::new(),
        settings,
        waiting: Waiting::new(),
        admin_addresses,
        announced: false,
        failing: BTreeMap::new(),
        serving_told: 0,
        loaded: extras.loaded,
        stops: false,
        drains: false,
        watch_until: Instant::now(),
        beat_due: Instant::now(),
        refused_calls: Told::default(),
        memory,
        readiness: Readiness::default(),
    };
    let result = supervisor.run(extras.bell).await;
    supervisor.logs.finish().await;
    result
}

struct Supervisor {
    client: MonitorClient,
    tables: Rc<RefCell<Tables>>,
    logs: Logs,
    lives: BTreeMap<Key, Life>,
    settings: Settings,
    /// While the service starts.
    waiting: Waiting,
    admin_addresses: Vec<String>,
    announced: bool,
    /// Chains that do not start, and why. They keep no other chain from being served, and are tried ever
    /// more seldom.
    failing: BTreeMap<u32, Failing>,
    /// Chains that the monitor knows to serve.
    serving_told: u64,
    loaded: bool,
    /// The monitor stops: nothing is started or replaced any more, and what is printed is forwarded until
    /// all have ended.
    stops: bool,
    /// Gateways finish what is in flight, and are not replaced when they have ended; functions are.
    drains: bool,
    /// Timeouts are watched at least until then, as the bell rang.
    watch_until: Instant,
    /// When the monitor is to be shown next that this loop goes round.
    beat_due: Instant,
    /// Refused system calls that the log tells of.
    refused_calls: Told,
    /// What operators ask the monitor.
    memory: Rc<MemoryQuestion>,
    /// What was told of chains that are ready, or are not.
    readiness: Readiness,
}

impl Supervisor {
    async fn run(&mut self, bell: Option<OwnedFd>) -> Result<(), Stop> {
        let channel = watch_shared(&self.client)?;
        let bell = bell.map(watch_bell).transpose()?;
        let memory = Rc::clone(&self.memory);
        self.reconcile()?;
        loop {
            self.handle_events()?;
            if self.stops {
                channel.readable().await?.clear_ready();
                continue;
            }
            self.create_due()?;
            self.refused_calls.look(&self.tables.borrow());
            let watch = self.watch_runs()?.map(|period| Instant::now() + period);
            let shown = self.show_waiting();
            let readiness = self.tell_readiness()?.map(|period| Instant::now() + period);
            let beat = self.beat()?;
            let dues = self.lives.values().filter_map(|life| life.due);
            let due = dues.chain(watch).chain(shown).chain(readiness).chain(beat).min();
            tokio::select! {
                ready = channel.readable() => ready?.clear_ready(),
                () = rung(bell.as_ref()) => {
                    self.watch_until = Instant::now() + Duration::from_nanos(BELL_QUIET_NS);
                }
                () = memory.is_asked() => {
                    read::memory(&mut self.client, &mut self.tables.borrow_mut())?;
                    memory.answer();
                }
                () = sleep_until_some(due) => {}
            }
        }
    }

    /// Shows the monitor that this loop goes round, if it is time; returns when to do so again.
    fn beat(&mut self) -> Result<Option<Instant>, Stop> {
        let Some(beat) = self.settings.beat else {
            return Ok(None);
        };
        let now = Instant::now();
        if self.beat_due <= now {
            self.beat_due = now + beat;
            self.client.call(Call::Statistics, &[], &[], &[])?;
        }
        Ok(Some(self.beat_due))
    }

    /// Handles what the monitor has said.
    fn handle_events(&mut self) -> Result<(), Stop> {
        while let Some(event) = self.client.try_event()? {
            match event {
                _ if self.stops => {}
                Event::Loaded { .. } => {
                    self.reload()?;
                    self.loaded = true;
                    self.reconcile()?;
                }
                Event::InstanceReady { chain, instance, .. } => {
                    let life = self.lives.entry((chain, instance)).or_default();
                    life.served = true;
                    life.serves = true;
                    self.set_state((chain, instance), InstanceState::Ready);
                    let now = Monotonic::now();
                    let mut tables = self.tables.borrow_mut();
                    tables.change((chain, instance), |found| found.history.note_serving(now));
                    drop(tables);
                    self.reconcile()?;
                }
                Event::InstanceDied {
                    chain,
                    instance,
                    end,
                    lived,
                    ..
                } => {
                    self.died((chain, instance), end, lived)?;
                }
                Event::ShuttingDown { grace } => {
                    self.stops = grace.is_zero();
                    self.drains = true;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Reads the tables again, after the loader has defined all chains.
    fn reload(&mut self) -> Result<(), Stop> {
        // Nothing has been started yet, so nothing is forwarded.
        let (tables, _) = read::all(&mut self.client)?;
        *self.tables.borrow_mut() = tables;
        Ok(())
    }

    /// Tells the monitor which chains are not ready, where that has changed since. A chain is told of once
    /// its gateway serves, as nobody could ask before. Returns when to look again, where something may
    /// change without an event.
    fn tell_readiness(&mut self) -> Result<Option<Duration>, Stop> {
        let now = Monotonic::now();
        let mut changed = Vec::new();
        let mut all_fit = true;
        for chain in &self.tables.borrow().chains {
            let serves = |gateway: &Instance| gateway.state == InstanceState::Ready;
            if !chain.gateway().is_some_and(serves) {
                continue;
            }
            let complaints = chain.complaints(now);
            all_fit &= chain
                .instances
                .iter()
                .all(|instance| instance.health(now) == Health::Ready);
            let to_tell = self.readiness.note(chain.number, complaints.is_empty());
            if to_tell.monitor || to_tell.people {
                changed.push((chain.number, chain.name.clone(), complaints, to_tell));
            }
        }
        for (number, name, complaints, to_tell) in changed {
            let arguments = [u64::from(number), u64::from(complaints.is_empty())];
            if to_tell.monitor {
                match self.client.call(Call::SetReadiness, &arguments, &[], &[]) {
                    Ok(_) => self.readiness.is_heard(number),
                    // The gateway takes no message now, and is told at the next look.
                    Err(ClientError::Refused { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            let about = About {
                chain: &name,
                ..About::default()
            };
            match complaints.first() {
                _ if !to_tell.people => {}
                Some(first) => tell!(Warning, about; "chain `{name}` is not ready: {first}"),
                None => tell!(Info, about; "chain `{name}` is ready again"),
            }
        }
        let looks_again = !all_fit || self.readiness.is_unheard();
        Ok(looks_again.then_some(READINESS_EVERY))
    }

    fn set_state(&self, key: Key, state: InstanceState) {
        let mut tables = self.tables.borrow_mut();
        if key.0 == GATEWAY_PROCESS {
            let number = usize::try_from(key.1).ok();
            if let Some(gateway) = number.and_then(|number| tables.gateways.get_mut(number)) {
                gateway.state = state;
            }
        }
        tables.change(key, |found| {
            if state == InstanceState::Starting {
                found.epoch += 1;
                found.history.next_start = None;
                found.history.refused = None;
            }
            found.state = state;
        });
    }

    /// Plans the next process of an instance.
    fn put_off(&mut self, key: Key, wait: Duration) {
        self.lives.entry(key).or_default().due = Some(Instant::now() + wait);
        let due = Monotonic::now().after(wait);
        let mut tables = self.tables.borrow_mut();
        tables.change(key, |found| found.history.next_start = Some(due));
    }

    /// Whether what it prints is forwarded.
    fn forwards_logs(&self, (chain, instance): Key) -> bool {
        let tables = self.tables.borrow();
        chain == GATEWAY_PROCESS
            || tables
                .instance(chain, instance)
                .is_some_and(|instance| instance.forwards_logs)
    }

    /// Who prints what comes from an instance.
    fn printer(&self, key: Key) -> Printer {
        let (chain_name, function) = self.name(key);
        let tables = self.tables.borrow();
        match tables.instance(key.0, key.1) {
            Some(instance) => {
                Printer::function(&chain_name, &function, instance.ordinal, (key, instance.epoch))
            }
            None => Printer::gateway(&chain_name),
        }
    }

    /// Which instance of its function it is; nothing for a gateway's process.
    fn ordinal(&self, (chain, instance): Key) -> Option<u32> {
        let tables = self.tables.borrow();
        tables.instance(chain, instance).map(|found| found.ordinal)
    }

    /// What its last process was at work on when it ended.
    fn last_end_record(&self, (chain, instance): Key) -> Option<AtWork> {
        let tables = self.tables.borrow();
        tables.instance(chain, instance)?.history.last_end?.record
    }

    /// Its chain and its function.
    fn name(&self, (chain, instance): Key) -> (String, String) {
        let tables = self.tables.borrow();
        if chain == GATEWAY_PROCESS {
            let served = |chain: &&Chain| u64::from(chain.gateway) == instance;
            let number = u32::try_from(instance).unwrap_or(u32::MAX);
            let chain = match tables.gateway(number) {
                Some(gateway) if gateway.own => tables.chains.iter().find(served),
                _ => None,
            };
            let chain = chain.map_or_else(String::new, |chain| chain.name.clone());
            return (chain, "gateway".to_owned());
        }
        let chain = usize::try_from(chain)
            .ok()
            .and_then(|chain| tables.chains.get(chain));
        let found = chain.and_then(|chain| {
            let found = chain
                .instances
                .iter()
                .find(|found| u64::from(found.number) == instance)?;
            Some((chain.name.clone(), found.function.clone()))
        });
        found.unwrap_or_default()
    }

    /// Plans the creation of whatever is absent: functions first, and a gateway once all functions that it
    /// leads to serve, but for those of chains that do not start.
    fn reconcile(&mut self) -> Result<(), Stop> {
        if !self.loaded {
            return Ok(());
        }
        self.note_recovered();
        let mut absent = Vec::new();
        let mut all_serve = true;
        {
            let tables = self.tables.borrow();
            for chain in &tables.chains {
                let functions = chain.functions();
                let gone = functions.filter(|instance| instance.state == InstanceState::Absent);
                absent.extend(gone.map(|instance| (u64::from(chain.number), u64::from(instance.number))));
            }
            for (number, (at, gateway)) in (0..).zip(tables.gateways.iter().enumerate()) {
                let key = gateway_key(at);
                let behind = || tables.chains.iter().filter(|chain| chain.gateway == number);
                let fails = |chain: &Chain| self.failing.contains_key(&chain.number);
                let all_up = behind().all(|chain| serves(chain) || fails(chain));
                // Nobody is let in where there is nothing but a chain that does not start.
                let is_wanted = behind().any(|chain| !fails(chain));
                // Once it has served, a gateway answers for functions that are being replaced.
                let may_open = is_wanted && (all_up || self.announced)
                    || self.lives.get(&key).is_some_and(|life| life.served);
                if gateway.state == InstanceState::Absent && may_open && !self.drains {
                    absent.push(key);
                }
                all_serve &= all_up && (gateway.state == InstanceState::Ready || !is_wanted);
            }
            all_serve &= self.failing.len() < tables.chains.len();
        }
        let now = Instant::now();
        for key in absent {
            self.lives.entry(key).or_default().due.get_or_insert(now);
        }
        if all_serve && !self.announced && !self.drains {
            self.announced = true;
            let announcement = Announcement {
                tables: &self.tables.borrow(),
                failing: &self.failing,
                admin_addresses: &self.admin_addresses,
            };
            announcement.say(self.settings.ready_as);
        }
        self.tell_serving()
    }

    /// Notes chains that did not start and serve now.
    fn note_recovered(&mut self) {
        let tables = self.tables.borrow();
        self.failing.retain(|number, failing| {
            let is_back = |chain: &&Chain| match failing.culprit.0 {
                // A gateway is started when the functions behind it serve.
                GATEWAY_PROCESS => tables
                    .gateway(chain.gateway)
                    .is_some_and(|gateway| gateway.state == InstanceState::Ready),
                _ => serves(chain),
            };
            let chain = tables.chains.iter().find(|chain| chain.number == *number);
            let Some(chain) = chain.filter(is_back) else {
                return true;
            };
            let about = About {
                chain: &chain.name,
                ..About::default()
            };
            tell!(Info, about; "chain `{}` serves now", chain.name);
            false
        });
    }

    /// Tells the monitor how many chains serve, once the service is ready.
    fn tell_serving(&mut self) -> Result<(), Stop> {
        let all = self.tables.borrow().chains.len() as u64;
        let serving = all - (self.failing.len() as u64).min(all);
        if self.announced && self.serving_told != serving {
            self.serving_told = serving;
            self.client.call(Call::DaemonReady, &[serving, all], &[], &[])?;
        }
        Ok(())
    }

    /// A function or a gateway does not start. That ends a service of which nothing would be left; otherwise
    /// the chain is passed over, and tried again.
    fn does_not_start(&mut self, key: Key, reason: String) -> Result<(), Stop> {
        let tables = self.tables.borrow();
        let gateway = u32::try_from(key.1).unwrap_or(u32::MAX);
        let concerned: Vec<&Chain> = tables
            .chains
            .iter()
            .filter(|chain| match key.0 {
                GATEWAY_PROCESS => chain.gateway == gateway,
                number => u64::from(chain.number) == number,
            })
            .collect();
        let is_new = concerned
            .iter()
            .any(|chain| !self.failing.contains_key(&chain.number));
        for chain in concerned {
            let reason = reason.clone();
            let failing = Failing { culprit: key, reason };
            self.failing.insert(chain.number, failing);
        }
        // A daemon that replaces another knows that the service has started once.
        let is_start = !self.announced && tables.daemon_restarts == 0;
        if is_start && self.failing.len() == tables.chains.len() {
            return Err(Stop::CannotStart(reason));
        }
        drop(tables);
        if is_new {
            tell!(Error: "{reason}; it is tried again, and the other chains are served");
        }
        let wait = self.lives.entry(key).or_default().wait_to_start();
        self.put_off(key, wait);
        // Others may have waited for it.
        self.reconcile()
    }

    /// Notes why an instance could not be created.
    fn note_refused(&self, key: Key, text: &str) {
        let mut tables = self.tables.borrow_mut();
        tables.change(key, |found| found.history.refused = Some(text.to_owned()));
    }

    /// Whether it has never served, and its chain is not yet served or has been passed over.
    fn is_starting(&self, key: Key) -> bool {
        let has_served = self.lives.get(&key).is_some_and(|life| life.served);
        let is_passed_over = || {
            self.failing
                .iter()
                .any(|(number, failing)| failing.culprit == key || u64::from(*number) == key.0)
        };
        !has_served && (!self.announced || is_passed_over())
    }

    fn create_due(&mut self) -> Result<(), Stop> {
        let now = Instant::now();
        let due: Vec<Key> = self
            .lives
            .iter()
            .filter(|(_, life)| life.due.is_some_and(|due| due <= now))
            .map(|(key, _)| *key)
            .collect();
        for key in due {
            if let Some(life) = self.lives.get_mut(&key) {
                life.due = None;
            }
            if self.drains && key.0 == GATEWAY_PROCESS {
                continue;
            }
            match self.client.call(Call::CreateTrustlet, &[key.0, key.1], &[], &[]) {
                Ok(mut answer) => {
                    self.set_state(key, InstanceState::Starting);
                    if let Some(pipe) = answer.descriptors.pop() {
                        self.logs.forward(self.printer(key), pipe);
                    }
                    let (chain, function) = self.name(key);
                    let labels = metrics::of_function(&chain, &function);
                    ::metrics::counter!(metrics::TRUSTLET_STARTS.name, &labels).increment(1);
                }
                Err(ClientError::Refused { text, .. }) => {
                    let (chain, function) = self.name(key);
                    let is_starting = self.is_starting(key);
                    let life = self.lives.entry(key).or_default();
                    life.short_lives = life.short_lives.saturating_add(1);
                    if is_starting && life.short_lives >= STILLBIRTHS_MAX {
                        let who = start::in_words(&chain, &function);
                        let reason = Stillborn::Refused(&text).reason(&who, false);
                        self.note_refused(key, &text);
                        self.does_not_start(key, reason)?;
                        continue;
                    }
                    let wait = life.wait();
                    self.put_off(key, wait);
                    self.note_refused(key, &text);
                    if !is_starting {
                        let about = logs::about(&chain, &function, self.ordinal(key), None);
                        let who = start::in_words(&chain, &function);
                        tell!(Warning, about; "{}; trying again", Stillborn::Refused(&text).reason(&who, false));
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn died(&mut self, key: Key, end: End, lived: Duration) -> Result<(), Stop> {
        self.set_state(key, InstanceState::Absent);
        let (chain, function) = self.name(key);
        let (cause, code, on_record) = self.note_end(key, end, lived);
        let how = how(cause, code);
        let labels = metrics::of_death(&chain, &function, cause, code);
        ::metrics::counter!(metrics::TRUSTLET_DEATHS.name, &labels).increment(1);
        if self.drains && key.0 == GATEWAY_PROCESS {
            self.lives.remove(&key);
            return Ok(());
        }
        let who = start::in_words(&chain, &function);
        let logs_shown = self.forwards_logs(key);
        let now = Instant::now();
        let is_starting = self.is_starting(key);
        let life = self.lives.entry(key).or_default();
        if is_starting && lived >= self.settings.start_patience {
            // The monitor ended it. Another would be as silent.
            life.short_lives = life.short_lives.saturating_add(1).max(STILLBIRTHS_MAX);
            let cause = Stillborn::Silent(self.settings.start_patience);
            return self.does_not_start(key, cause.reason(&who, logs_shown));
        }
        life.unwanted = None;
        // One that never served did not live, however long it took.
        let served = core::mem::take(&mut life.serves);
        let wait = if served && on_record {
            life.wait_after_record(now)
        } else {
            life.count_death(served, lived);
            if is_starting && life.short_lives >= STILLBIRTHS_MAX {
                let cause = Stillborn::Ended {
                    how: &how,
                    code: (cause == Cause::Exited).then_some(code),
                    times: life.short_lives,
                };
                return self.does_not_start(key, cause.reason(&who, logs_shown));
            }
            life.wait()
        };
        self.put_off(key, wait);
        if !is_starting {
            let record = self.last_end_record(key);
            let about = logs::about(&chain, &function, self.ordinal(key), record);
            tell!(Warning, about; "{who} {how}; it is being replaced");
        }
        Ok(())
    }

    /// Shows that a start goes on; returns when to do so again.
    fn show_waiting(&mut self) -> Option<Instant> {
        if self.announced || !self.loaded {
            return None;
        }
        let tables = self.tables.borrow();
        let instances = tables
            .chains
            .iter()
            .filter(|chain| !self.failing.contains_key(&chain.number))
            .flat_map(|chain| chain.functions().map(move |instance| (chain, instance)));
        let mut starting: Vec<String> = instances
            .filter(|(_, instance)| instance.state != InstanceState::Ready)
            .map(|(chain, instance)| format!("{}/{}#{}", chain.name, instance.function, instance.ordinal))
            .collect();
        if starting.is_empty() {
            starting.push("the gateway".to_owned());
        }
        self.waiting.show(&starting, self.settings.start_patience);
        Some(self.waiting.due())
    }

    /// Notes how an instance's process ended: why, with the code of that, and whether it was at work on a
    /// record. What its page says is its own word.
    fn note_end(&self, key: Key, end: End, lived: Duration) -> (Cause, u32, bool) {
        let mut noted = None;
        let at = Monotonic::now();
        self.tables.borrow_mut().change(key, |found| {
            let (cause, code) = end.cause(found.page.last_words());
            let on_record = found.page.holds_record();
            let end = LastEnd {
                cause,
                code,
                at,
                lived,
                record: found.last_record().filter(|_| on_record),
            };
            let runs = found.runs();
            found.history.note_death(end, runs);
            noted = Some((cause, code, on_record));
        });
        noted.unwrap_or_else(|| {
            let (cause, code) = end.cause(None);
            (cause, code, false)
        })
    }

    /// Ends handlers that overrun, and runs that nobody waits for. Returns when to look again; `None` while
    /// nothing runs.
    fn watch_runs(&mut self) -> Result<Option<Duration>, Stop> {
        let mut to_end = Vec::new();
        // The gateway rings once for many requests, and perhaps before it counts the first.
        let mut period = (Instant::now() < self.watch_until).then_some(WATCH_MAX);
        {
            let tables = self.tables.borrow();
            let now = Monotonic::now();
            for chain in &tables.chains {
                let in_flight = chain.in_flight() > 0;
                for instance in chain
                    .functions()
                    .filter(|instance| instance.state == InstanceState::Ready)
                {
                    let running = instance.page.running();
                    // A run may outlive the request that it is for.
                    if !in_flight && running.is_none() {
                        continue;
                    }
                    let wanted = (instance.timeout / 10).clamp(WATCH_MIN, WATCH_MAX);
                    period = Some(period.map_or(wanted, |period: Duration| period.min(wanted)));
                    let Some(running) = running else {
                        continue;
                    };
                    let key = (u64::from(chain.number), u64::from(instance.number));
                    let life = self.lives.entry(key).or_default();
                    let closed = chain
                        .gateway()
                        .is_some_and(|gateway| gateway.page.is_closed(running.invocation));
                    if now.saturating_duration_since(running.since) > instance.timeout {
                        to_end.push((key, instance.epoch, EndReason::Overran));
                    } else if life.is_unwanted(&running, closed, now, Instant::now()) {
                        to_end.push((key, instance.epoch, EndReason::Unwanted));
                    }
                }
            }
        }
        for (key, epoch, reason) in to_end {
            self.end_run(key, epoch, reason)?;
        }
        Ok(period)
    }

    /// Ends the process of a run, for the replacement to go on without it.
    fn end_run(&mut self, key: Key, epoch: u32, reason: EndReason) -> Result<(), Stop> {
        let (chain, function) = self.name(key);
        let why = match reason {
            EndReason::Overran => "overran its timeout",
            _ => "ran on for a request that nobody waits for",
        };
        let tables = self.tables.borrow();
        let record = tables.instance(key.0, key.1).and_then(Instance::last_record);
        drop(tables);
        let who = start::in_words(&chain, &function);
        let about = logs::about(&chain, &function, self.ordinal(key), record);
        tell!(Warning, about; "{who} {why}; it is being replaced");
        self.set_state(key, InstanceState::Ending);
        let arguments = [key.0, key.1, u64::from(epoch), reason.number()];
        match self.client.call(Call::DeleteTrustlet, &arguments, &[], &[]) {
            // It may have died by itself meanwhile; the event that says so is on its way.
            Ok(_) | Err(ClientError::Refused { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether all functions of a chain serve.
fn serves(chain: &Chain) -> bool {
    chain
        .functions()
        .all(|instance| instance.state == InstanceState::Ready)
}

/// What became of a process, as the rest of a sentence about its function.
fn how(cause: Cause, code: u32) -> String {
    match cause {
        Cause::Exited => format!("exited with code {code}"),
        Cause::Signalled if Signal(code).comes_from_outside() => format!(
            "was ended by signal {}, which this service did not send: the machine may be out of memory",
            Signal(code)
        ),
        Cause::Signalled => format!("was ended by signal {}", Signal(code)),
        _ => format!("has ended: {}", cause.with(code)),
    }
}

/// Watches the daemon's own bell, which is heard when the event loop says that it has rung, and that may not
/// be true any more.
fn watch_bell(bell: OwnedFd) -> std::io::Result<AsyncFd<OwnedFd>> {
    fcntl_setfl(&bell, fcntl_getfl(&bell)? | OFlags::NONBLOCK)?;
    watch(bell)
}

async fn rung(bell: Option<&AsyncFd<OwnedFd>>) {
    let Some(bell) = bell else { return pending().await };
    if let Ok(mut ready) = bell.readable().await {
        ready.clear_ready();
        // A bell that somebody has filled would ring no more.
        doorbell::hear(bell.get_ref());
    }
}

async fn sleep_until_some(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => pending().await,
    }
}
