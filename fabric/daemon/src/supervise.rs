//! The daemon's loop: create what is absent, replace what dies, end what overruns; sleep otherwise.

use super::announcement::{Announcement, Failing};
use super::bell::Bell;
use super::history::how_it_ended;
use super::life::{Life, STILLBIRTHS_MAX};
use super::logs::{self, Logs, Printer};
use super::memory::MemoryQuestion;
use super::readiness::Readiness;
use super::refused::Told;
use super::runs::Runs;
use super::settings::Settings;
use super::start::{self, Stillborn, Waiting};
use super::stop::Stop;
use super::tables::{Chain, Key, Tables};
use super::tracing::Tracer;
use super::{metrics, read};
use hacher_libos_net::clock;
use hacher_libos_net::end::End;
use hacher_libos_net::fault::Cause;
use hacher_trustlet_host::calls::{Call, GATEWAY_PROCESS, InstanceState};
use hacher_trustlet_host::client::{ClientError, Event, MonitorClient};
use hacher_trustlet_host::core::EndReason;
use hacher_trustlet_host::lines::About;
use hacher_trustlet_host::tell;
use hacher_watched::watch_shared;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::pending;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// The process of the gateway with this number.
fn gateway_key(number: usize) -> Key {
    (GATEWAY_PROCESS, number as u64)
}

/// What the loop shares with those who answer operators and export traces.
pub(super) struct Known {
    pub(super) tables: Rc<RefCell<Tables>>,
    /// What operators ask the monitor.
    pub(super) memory: Rc<MemoryQuestion>,
    /// Where traces go, if anywhere.
    pub(super) tracer: Option<Rc<Tracer>>,
}

/// What keeps the instances of all chains alive.
pub(super) struct Supervisor {
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
    /// When the monitor is to be shown next that this loop goes round.
    beat_due: Instant,
    /// Refused system calls that the log tells of.
    refused_calls: Told,
    /// What operators ask the monitor.
    memory: Rc<MemoryQuestion>,
    /// Where traces go, if anywhere.
    tracer: Option<Rc<Tracer>>,
    /// What was told of chains that are ready, or are not.
    readiness: Readiness,
}

impl Supervisor {
    /// One that has done nothing yet. `loaded`: the loader has defined all chains.
    pub(super) fn new(
        client: MonitorClient,
        known: Known,
        logs: Logs,
        settings: Settings,
        admin_addresses: Vec<String>,
        loaded: bool,
    ) -> Self {
        let Known {
            tables,
            memory,
            tracer,
        } = known;
        Self {
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
            loaded,
            stops: false,
            drains: false,
            beat_due: Instant::now(),
            refused_calls: Told::default(),
            memory,
            tracer,
            readiness: Readiness::default(),
        }
    }

    /// Forwards what is still to be forwarded, when everything else has ended.
    pub(super) async fn finish(&mut self) {
        self.logs.finish().await;
        if let Some(tracer) = &self.tracer {
            tracer.finish().await;
        }
    }

    /// Goes round until the daemon stops.
    pub(super) async fn run(&mut self, bell: Option<OwnedFd>) -> Result<(), Stop> {
        let channel = watch_shared(&self.client)?;
        let bell = Bell::new(bell)?;
        let memory = Rc::clone(&self.memory);
        let tracer = self.tracer.clone();
        self.reconcile()?;
        loop {
            self.handle_events()?;
            if self.stops {
                channel.readable().await?.clear_ready();
                continue;
            }
            self.create_due()?;
            self.refused_calls.look(&self.tables.borrow());
            if let Some(tracer) = &self.tracer {
                tracer.collect();
            }
            let watch = self.watch_runs(&bell)?.map(|period| Instant::now() + period);
            let shown = self.show_waiting();
            let readiness = self
                .readiness
                .tell(&self.tables.borrow(), &mut self.client)?
                .map(|period| Instant::now() + period);
            let beat = self.beat()?;
            let dues = self.lives.values().filter_map(|life| life.due);
            let due = dues.chain(watch).chain(shown).chain(readiness).chain(beat).min();
            tokio::select! {
                ready = channel.readable() => ready?.clear_ready(),
                () = bell.rung() => {}
                () = memory.is_asked() => {
                    read::memory(&mut self.client, &mut self.tables.borrow_mut())?;
                    read::all_refused(&mut self.client, &mut self.tables.borrow_mut())?;
                    memory.answer();
                }
                () = wants_connection(tracer.as_deref()) => self.reach_collector()?,
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
                    self.tables
                        .borrow_mut()
                        .set_state((chain, instance), InstanceState::Ready);
                    let now = clock::now();
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
                Event::CallRefused { chain, instance } => {
                    read::refused(&mut self.client, &mut self.tables.borrow_mut(), (chain, instance))?;
                }
                Event::ShuttingDown { grace } => {
                    self.stops = grace.is_zero();
                    self.drains = true;
                    let is_missing = self.tracer.as_ref().is_some_and(|tracer| tracer.hurry());
                    // While there is somebody who can make one.
                    if is_missing && !self.stops {
                        self.reach_collector()?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Has the monitor connect to the collector of traces.
    fn reach_collector(&mut self) -> Result<(), Stop> {
        let Some(tracer) = &self.tracer else {
            return Ok(());
        };
        match self.client.call(Call::ReachCollector, &[], &[], &[]) {
            Ok(mut answer) => tracer.connected(answer.descriptors.pop()),
            Err(ClientError::Refused { .. }) => tracer.connected(None),
            Err(error) => return Err(error.into()),
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

    /// Plans the next process of an instance.
    fn put_off(&mut self, key: Key, wait: Duration) {
        self.lives.entry(key).or_default().due = Some(Instant::now() + wait);
        let due = clock::now().after(wait);
        let mut tables = self.tables.borrow_mut();
        tables.change(key, |found| found.history.next_start = Some(due));
    }

    /// Who prints what comes from an instance.
    fn printer(&self, key: Key) -> Printer {
        let (chain_name, function) = self.tables.borrow().name(key);
        let tables = self.tables.borrow();
        match tables.instance(key.0, key.1) {
            Some(instance) => {
                Printer::function(&chain_name, &function, instance.ordinal, (key, instance.epoch))
            }
            None => Printer::gateway(&chain_name),
        }
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
                let all_up = behind().all(|chain| chain.serves() || fails(chain));
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
                _ => chain.serves(),
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
                    self.tables.borrow_mut().set_state(key, InstanceState::Starting);
                    if let Some(pipe) = answer.descriptors.pop() {
                        self.logs.forward(self.printer(key), pipe);
                    }
                    let (chain, function) = self.tables.borrow().name(key);
                    let labels = metrics::of_function(&chain, &function);
                    ::metrics::counter!(metrics::TRUSTLET_STARTS.name, &labels).increment(1);
                }
                Err(ClientError::Refused { text, .. }) => {
                    let (chain, function) = self.tables.borrow().name(key);
                    let is_starting = self.is_starting(key);
                    let life = self.lives.entry(key).or_default();
                    life.short_lives = life.short_lives.saturating_add(1);
                    if is_starting && life.short_lives >= STILLBIRTHS_MAX {
                        let who = start::in_words(&chain, &function);
                        let reason = Stillborn::Refused(&text).reason(&who, false);
                        self.tables.borrow_mut().note_refused(key, &text);
                        self.does_not_start(key, reason)?;
                        continue;
                    }
                    let wait = life.wait();
                    self.put_off(key, wait);
                    self.tables.borrow_mut().note_refused(key, &text);
                    if !is_starting {
                        let about = logs::about(&chain, &function, self.tables.borrow().ordinal(key), None);
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
        self.tables.borrow_mut().set_state(key, InstanceState::Absent);
        let (chain, function) = self.tables.borrow().name(key);
        let (cause, code, on_record) = self.tables.borrow_mut().note_end(key, end, lived);
        let limits = self.tables.borrow().limits(key);
        let how = how_it_ended(cause, code, &function, &limits);
        let labels = metrics::of_death(&chain, &function, cause, code);
        ::metrics::counter!(metrics::TRUSTLET_DEATHS.name, &labels).increment(1);
        if self.drains && key.0 == GATEWAY_PROCESS {
            self.lives.remove(&key);
            return Ok(());
        }
        let who = start::in_words(&chain, &function);
        let logs_shown = self.tables.borrow().forwards_logs(key);
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
            let record = self.tables.borrow().last_end_record(key);
            let about = logs::about(&chain, &function, self.tables.borrow().ordinal(key), record);
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

    /// Ends handlers that overrun, and runs that nobody waits for. Returns when to look again; `None` while
    /// nothing runs.
    fn watch_runs(&mut self, bell: &Bell) -> Result<Option<Duration>, Stop> {
        let Runs { to_end, again } = Runs::look(&self.tables.borrow(), &mut self.lives, bell.is_loud());
        for (key, epoch, reason) in to_end {
            self.end_run(key, epoch, reason)?;
        }
        Ok(again)
    }

    /// Ends the process of a run, for the replacement to go on without it. What is logged is its death, with
    /// this reason.
    fn end_run(&mut self, key: Key, epoch: u32, reason: EndReason) -> Result<(), Stop> {
        self.tables.borrow_mut().set_state(key, InstanceState::Ending);
        let arguments = [key.0, key.1, u64::from(epoch), reason.number()];
        match self.client.call(Call::DeleteTrustlet, &arguments, &[], &[]) {
            // It may have died by itself meanwhile; the event that says so is on its way.
            Ok(_) | Err(ClientError::Refused { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

async fn wants_connection(tracer: Option<&Tracer>) {
    match tracer {
        Some(tracer) => tracer.wants_connection().await,
        None => pending().await,
    }
}

async fn sleep_until_some(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => pending().await,
    }
}
