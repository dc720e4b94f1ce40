//! Whole runs in virtual time, with a generator, a server of known rate, and disturbances: no disturbed run
//! with wrong numbers is VALID, and a quiet run is.

use std::collections::VecDeque;

use super::of;
use crate::judge::Verdict;
use crate::load::Plan;
use crate::load::random::Random;
use crate::load::report::{Arrivals, Fairness, Interval, Latency, Pace, Report};
use crate::load::standstill::Standstills;

const MS: u64 = 1_000_000;
const WARM_UP_NS: u64 = 100 * MS;
const MEASURED_NS: u64 = 1_000 * MS;
const END_NS: u64 = WARM_UP_NS + MEASURED_NS;
/// As the loop waits.
const WAIT_NS_MAX: u64 = 6 * MS;
/// What the generator needs for a reply.
const REPLY_NS: u64 = 6_000;

/// A time that is not negative.
#[allow(clippy::cast_sign_loss)]
fn whole(ns: f64) -> u64 {
    ns.round() as u64
}

/// What happens to a run.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Sabotage {
    None,
    /// SIGSTOP for this long, this often.
    Stopped {
        for_ns: u64,
        times: u64,
    },
    /// So much of each 100 ms is taken away, by a quota or by a program like cpulimit.
    Throttled {
        away_ns: u64,
        is_stopped: bool,
    },
    /// Other processes have the core when the generator wakes up: with this probability, for this long on
    /// average.
    SharedCore {
        chance: f64,
        mean_ns: f64,
    },
    /// Of the replies.
    Dropped {
        chance: f64,
    },
    /// This many connections are served only after the run.
    Held {
        clients: usize,
    },
    /// This many clients are not connected.
    Unconnected {
        clients: usize,
    },
    /// The clock runs at this speed.
    Clock {
        speed: f64,
    },
    /// The clock advances in such steps.
    CoarseClock {
        step_ns: u64,
    },
}

impl Sabotage {
    fn any(random: &mut Random) -> Sabotage {
        let kind = random.next() % 9;
        let share = random.unit();
        let between = |from: u64, to: u64, share: f64| from + whole((to - from) as f64 * share);
        match kind {
            0 => {
                Sabotage::Stopped { for_ns: between(20 * MS, 300 * MS, share), times: 1 + random.next() % 3 }
            }
            1 => Sabotage::Throttled { away_ns: between(15 * MS, 80 * MS, share), is_stopped: true },
            2 => Sabotage::Throttled { away_ns: between(15 * MS, 80 * MS, share), is_stopped: false },
            3 => Sabotage::SharedCore { chance: 0.2 + 0.8 * share, mean_ns: 3e6 * random.unit() },
            4 => Sabotage::Dropped { chance: 0.000_5 + 0.05 * share },
            5 => Sabotage::Held { clients: between(1, 12, share) as usize },
            6 => Sabotage::Unconnected { clients: between(1, 12, share) as usize },
            7 => Sabotage::Clock { speed: if share < 0.5 { 0.4 + share } else { 0.6 + share } },
            _ => Sabotage::CoarseClock { step_ns: between(MS, 10 * MS, share) },
        }
    }

    /// When the generator may continue if it wants to run now, and whether it counts as waiting for a core.
    fn away(self, now_ns: u64, offset_ns: u64) -> (u64, bool) {
        match self {
            Sabotage::Stopped { for_ns, times } => {
                let apart_ns = MEASURED_NS / times;
                let since_ns =
                    (now_ns + apart_ns - offset_ns % apart_ns).saturating_sub(WARM_UP_NS) % apart_ns;
                (now_ns + for_ns.saturating_sub(since_ns), false)
            }
            Sabotage::Throttled { away_ns, is_stopped } => {
                let since_ns = (now_ns + offset_ns) % (100 * MS);
                (now_ns + away_ns.saturating_sub(since_ns), !is_stopped)
            }
            _ => (now_ns, false),
        }
    }
}

/// When measuring began, in truth and by the generator's clock, and what was used until then; all in ns.
#[derive(Clone, Copy)]
struct Start {
    at: u64,
    clock: u64,
    cpu: u64,
    run_delay: u64,
}

/// A run in virtual time.
struct World {
    random: Random,
    sabotage: Sabotage,
    offset_ns: u64,
    pace: Pace,
    clients: usize,
    service_ns: u64,
    now_ns: u64,
    cpu_ns: u64,
    run_delay_ns: u64,
    /// When the server is free.
    free_ns: u64,
    /// The time of each reply, its client, and the time of the request.
    replies: VecDeque<(u64, usize, u64)>,
    dropped: u64,
}

impl World {
    fn new(seed: u64, sabotage: Sabotage) -> World {
        let mut random = Random::new(seed);
        let rate = 1_000.0 * 5_f64.powf(random.unit());
        let arrivals = if random.next().is_multiple_of(2) { Arrivals::Constant } else { Arrivals::Poisson };
        let pace = match random.next() % 2 {
            0 => Pace::Closed,
            _ => Pace::Open { rate_per_second: rate * 0.6, arrivals },
        };
        let (service_ns, offset_ns) = (whole(1e9 / rate), random.next() % MEASURED_NS);
        World {
            random,
            sabotage,
            offset_ns,
            pace,
            clients: 16,
            service_ns,
            now_ns: 0,
            cpu_ns: 0,
            run_delay_ns: 0,
            free_ns: 0,
            replies: VecDeque::new(),
            dropped: 0,
        }
    }

    /// The clock of the generator.
    fn clock_ns(&self, at_ns: u64) -> u64 {
        match self.sabotage {
            Sabotage::Clock { speed } => whole(at_ns as f64 * speed),
            Sabotage::CoarseClock { step_ns } => at_ns / step_ns * step_ns,
            _ => at_ns,
        }
    }

    /// When the clock shows this.
    fn at_clock_ns(&self, clock_ns: u64) -> u64 {
        match self.sabotage {
            Sabotage::Clock { speed } => whole(clock_ns as f64 / speed) + 1,
            Sabotage::CoarseClock { step_ns } => clock_ns.div_ceil(step_ns) * step_ns,
            _ => clock_ns,
        }
    }

    /// The generator wants to run.
    fn get_core(&mut self) {
        let (until_ns, is_waiting) = self.sabotage.away(self.now_ns, self.offset_ns);
        self.run_delay_ns += if is_waiting { until_ns - self.now_ns } else { 0 };
        self.now_ns = until_ns;
    }

    fn wake(&mut self) {
        // A few µs until the generator gets the core, and sometimes a longer delay.
        let hiccup_ns = if self.random.unit() < 0.000_2 { 2.0 * MS as f64 } else { 4_000.0 };
        let others_ns = match self.sabotage {
            Sabotage::SharedCore { chance, mean_ns } if self.random.unit() < chance => mean_ns,
            _ => 0.0,
        };
        let wait_ns = whole(-self.random.unit().ln() * (hiccup_ns + others_ns));
        self.run_delay_ns += wait_ns;
        self.now_ns += wait_ns;
        self.get_core();
    }

    fn work(&mut self) {
        self.now_ns += REPLY_NS;
        self.cpu_ns += REPLY_NS;
        self.get_core();
    }

    fn send(&mut self, client: usize, intended_ns: u64) {
        if let Sabotage::Dropped { chance } = self.sabotage
            && self.random.unit() < chance
        {
            self.dropped += 1;
            return;
        }
        if matches!(self.sabotage, Sabotage::Held { clients } if client < clients) {
            return;
        }
        self.free_ns = self.free_ns.max(self.now_ns + 20_000) + self.service_ns;
        self.replies.push_back((self.free_ns + 20_000, client, intended_ns));
    }

    /// Runs, and gives the report that the loop would give.
    fn run(mut self) -> Report {
        let mut plan = Plan::new("127.0.0.1:7".parse().unwrap());
        (plan.clients, plan.pace) = (self.clients as u32, self.pace);
        let mut report = Report::empty(plan.configuration("echo", 64));
        report.configuration.interval_ns = MEASURED_NS / 10;
        let mut standstills = Standstills::default();
        let (mut latencies, mut lags) = (Vec::new(), Vec::new());
        let mut served = vec![0_u64; self.clients];
        let connected = self.connected();
        let mut free: VecDeque<usize> = (0..connected).collect();
        let (mut waiting, mut outstanding) = (VecDeque::new(), 0_u64);
        let (mut due_ns, mut began) = (0_u64, None);
        let (mut outstanding_ns, mut turn_ns, mut interval) = (0_u128, 0, (0, 0));
        let is_measured = |intended_ns: u64| (WARM_UP_NS..END_NS).contains(&intended_ns);
        if self.pace == Pace::Closed {
            for client in free.drain(..) {
                outstanding += 1;
                self.send(client, self.now_ns);
            }
        }
        loop {
            let ready_ns = self.clock_ns(self.now_ns);
            let is_open = self.pace != Pace::Closed;
            let timer_ns =
                (ready_ns + WAIT_NS_MAX).min(if is_open { due_ns } else { u64::MAX }).max(ready_ns);
            let cpu_ns = self.cpu_ns;
            standstills.sleep(ready_ns, timer_ns - ready_ns, || Some(cpu_ns));
            let reply_ns = self.replies.front().map_or(u64::MAX, |reply| reply.0);
            self.now_ns = self.now_ns.max(self.at_clock_ns(timer_ns).min(reply_ns));
            self.wake();
            let now_ns = self.clock_ns(self.now_ns);
            let count = self.replies.iter().take_while(|reply| reply.0 <= self.now_ns).count();
            standstills.wake(now_ns, count, || Some(cpu_ns));
            outstanding_ns += u128::from(outstanding) * u128::from(now_ns - turn_ns);
            turn_ns = now_ns;
            if began.is_none() && now_ns >= WARM_UP_NS {
                began =
                    Some(Start { at: self.now_ns, clock: now_ns, cpu: cpu_ns, run_delay: self.run_delay_ns });
                standstills.reset();
                (outstanding_ns, served) = (0, vec![0; self.clients]);
                (report.requests, interval) = (0, (now_ns, 0));
            }
            if began.is_some() && now_ns >= interval.0 + MEASURED_NS / 10 {
                report.series.push(interval_of(interval.0, now_ns, report.requests - interval.1));
                interval = (now_ns, report.requests);
            }
            if now_ns >= END_NS {
                break;
            }
            while is_open && due_ns <= now_ns {
                if is_measured(due_ns) {
                    report.requests_due += 1;
                    lags.push(now_ns - due_ns);
                }
                outstanding += 1;
                match free.pop_front() {
                    Some(client) => self.send(client, due_ns),
                    None => waiting.push_back(due_ns),
                }
                due_ns += self.distance_ns();
                self.work();
            }
            for _ in 0..count {
                let Some((_, client, intended_ns)) = self.replies.pop_front() else { break };
                self.work();
                let now_ns = self.clock_ns(self.now_ns);
                report.requests += 1;
                served[client] += 1;
                if is_measured(intended_ns) {
                    latencies.push(now_ns.saturating_sub(intended_ns));
                }
                outstanding -= 1;
                match (is_open, waiting.pop_front()) {
                    (false, _) => {
                        outstanding += 1;
                        self.send(client, now_ns);
                    }
                    (true, Some(next_ns)) => self.send(client, next_ns),
                    (true, None) => free.push_back(client),
                }
            }
        }
        let began = began.unwrap();
        // Replies that come while the end is awaited.
        for (at_ns, _, intended_ns) in std::mem::take(&mut self.replies) {
            if is_measured(intended_ns) {
                latencies.push(self.clock_ns(at_ns).saturating_sub(intended_ns));
            }
        }
        report.errors.reply_timeout = self.dropped;
        let measured_ns = turn_ns - began.clock;
        report.measured_ns = measured_ns;
        report.requests_per_second = report.requests as f64 * 1e9 / measured_ns as f64;
        report.outstanding_mean = outstanding_ns as f64 / measured_ns as f64;
        report.connected_mean = connected as f64;
        (report.latency, report.schedule_lag) = (distribution(latencies), distribution(lags));
        report.fairness = Fairness::of(served, vec![0; self.clients]);
        standstills.report(&mut report.generator);
        self.use_of_generator(began, &mut report);
        report.verdict = Some(of(&report));
        report
    }

    fn connected(&self) -> usize {
        match self.sabotage {
            Sabotage::Unconnected { clients } => self.clients - clients,
            _ => self.clients,
        }
    }

    /// What the kernel counted since the measuring began.
    fn use_of_generator(&self, began: Start, report: &mut Report) {
        let measured_ns = report.measured_ns as f64;
        let generator = &mut report.generator;
        generator.utilisation = (self.cpu_ns - began.cpu) as f64 / measured_ns;
        generator.run_delay_s = Some((self.run_delay_ns - began.run_delay) as f64 / 1e9);
        // The kernel's clock counts hundredths.
        let kernel_s = |at_ns: u64| (at_ns / (10 * MS)) as f64 / 100.0;
        generator.clock_ratio = Some(measured_ns / 1e9 / (kernel_s(self.now_ns) - kernel_s(began.at)));
        generator.clock_step_ns = match self.sabotage {
            Sabotage::CoarseClock { step_ns } => step_ns,
            _ => 40,
        };
        generator.retransmitted_segments = Some(0);
    }

    fn distance_ns(&mut self) -> u64 {
        let Pace::Open { rate_per_second, arrivals } = self.pace else { return u64::MAX };
        let share = if arrivals == Arrivals::Poisson { -self.random.unit().ln() } else { 1.0 };
        whole(1e9 / rate_per_second * share)
    }
}

fn distribution(mut values: Vec<u64>) -> Latency {
    values.sort_unstable();
    let at = |share: f64| {
        values.get((whole(values.len() as f64 * share) as usize).clamp(1, values.len().max(1)) - 1).copied()
    };
    let mean_ns = values.iter().sum::<u64>() as f64 / values.len().max(1) as f64;
    let [p50_ns, p99_ns, max_ns] = [0.5, 0.99, 1.0].map(|share| at(share).unwrap_or(0));
    Latency { count: values.len() as u64, mean_ns, p50_ns, p99_ns, max_ns, ..Latency::default() }
}

fn interval_of(start_ns: u64, end_ns: u64, requests: u64) -> Interval {
    Interval { start_ns, end_ns, requests, ..Interval::EMPTY }
}

/// Whether the numbers of a disturbed run are wrong: the rate by a tenth, or the median or the p99 latency by
/// half and by a millisecond.
fn is_wrong(disturbed: &Report, quiet: &Report) -> bool {
    let rate = disturbed.requests_per_second / quiet.requests_per_second;
    let far = |disturbed_ns: u64, quiet_ns: u64| {
        let apart_ns = disturbed_ns.abs_diff(quiet_ns);
        apart_ns > MS && apart_ns as f64 > 0.5 * quiet_ns as f64
    };
    let (latency, quiet) = (&disturbed.latency, &quiet.latency);
    (rate - 1.0).abs() > 0.1 || far(latency.p50_ns, quiet.p50_ns) || far(latency.p99_ns, quiet.p99_ns)
}

#[test]
fn no_disturbed_run_with_wrong_numbers_is_valid_in_200() {
    let mut noticed = 0;
    for seed in 1..=200 {
        let mut random = Random::new(seed);
        let sabotage = Sabotage::any(&mut random);
        let disturbed = World::new(seed, sabotage).run();
        let quiet = World::new(seed, Sabotage::None).run();
        let judged = disturbed.verdict.as_ref().unwrap();
        let is_valid = judged.verdict == Verdict::Valid;
        noticed += u32::from(!is_valid);
        // Whatever the numbers are, requests or clients that are missing are to be noticed.
        let is_missing = disturbed.errors.reply_timeout > 0
            || matches!(sabotage, Sabotage::Held { .. } | Sabotage::Unconnected { .. });
        assert!(
            !(is_valid && (is_missing || is_wrong(&disturbed, &quiet))),
            "seed {seed}, {sabotage:?}, {:?}: {} {:?} instead of {} {:?}: {judged:?}",
            disturbed.configuration.pace,
            disturbed.requests_per_second,
            (disturbed.latency.p50_ns, disturbed.latency.p99_ns),
            quiet.requests_per_second,
            (quiet.latency.p50_ns, quiet.latency.p99_ns),
        );
    }
    println!("{noticed} of 200 disturbed runs were noticed");
    assert!(noticed >= 180, "{noticed} of 200");
}

#[test]
fn a_quiet_run_against_a_server_of_known_rate_is_valid_but_for_2_percent() {
    let judged: Vec<_> = (1..=200)
        .map(|seed| World::new(seed, Sabotage::None).run().verdict.unwrap())
        .filter(|judged| judged.verdict != Verdict::Valid)
        .collect();
    assert!(judged.len() <= 4, "{} of 200: {judged:#?}", judged.len());
}
