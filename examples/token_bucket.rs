//! An echo server of known capacity: it answers a given number of requests per second, and no more. It shows
//! whether a load generator finds this capacity (`oneloop load --find`), and how it judges a server that
//! stops, loses replies, or leaves clients waiting.
//!
//! ```sh
//! cargo run --example token_bucket -- 127.0.0.1:7107 --rate 2000
//! ```
//!
//! In another terminal:
//!
//! ```sh
//! oneloop load echo@127.0.0.1:7107 --find 'p99<5ms'
//! ```
//!
//! Requests wait for a token, of which `--rate` come per second (1000 unless given); up to `--burst-ms` (50)
//! of tokens are kept while no request comes. With `--stall-ms`, a stall of random length up to this comes
//! every 8 s on average. Of all replies, `--drop` (a share of 1) are never sent. The first `--hold` clients
//! are served when another one has left. Requests have 64 bytes.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The size of a request.
const REQUEST_BYTES: usize = 64;
/// The mean time between two stalls.
const STALL_EVERY_S: f64 = 8.0;

/// What all clients share.
struct Bucket {
    began: Instant,
    state: Mutex<State>,
    has_left: Condvar,
    options: HashMap<String, f64>,
}

struct State {
    /// When the next token is there, without the burst, and when the next stall begins and ends; in s.
    token_s: f64,
    stall_s: (f64, f64),
    random: u64,
    clients: f64,
    left: u64,
}

impl State {
    /// In (0, 1]: `SplitMix64`.
    fn random(&mut self) -> f64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (((mixed ^ (mixed >> 31)) >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }
}

impl Bucket {
    fn option(&self, name: &str, default: f64) -> f64 {
        self.options.get(name).copied().unwrap_or(default)
    }

    fn requests_per_second(&self) -> f64 {
        self.option("--rate", 1_000.0)
    }

    fn stall_max_ms(&self) -> f64 {
        self.option("--stall-ms", 0.0)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long a request that came now waits for its token; `None` if it gets no reply.
    fn take(&self) -> Option<Duration> {
        let now_s = self.began.elapsed().as_secs_f64();
        let mut state = self.lock();
        if state.random() <= self.option("--drop", 0.0) {
            return None;
        }
        let mut at_s = now_s.max(state.token_s - self.option("--burst-ms", 50.0) / 1e3);
        let stall_max_s = self.stall_max_ms() / 1e3;
        while stall_max_s > 0.0 && at_s >= state.stall_s.0 {
            at_s = at_s.max(state.stall_s.1);
            let begin_s = state.stall_s.1 - state.random().ln() * STALL_EVERY_S;
            state.stall_s = (begin_s, begin_s + state.random() * stall_max_s);
        }
        state.token_s = state.token_s.max(at_s) + 1.0 / self.requests_per_second();
        Some(Duration::from_secs_f64(at_s - now_s))
    }

    /// Serves a client until it leaves.
    fn serve(&self, mut client: TcpStream) -> io::Result<()> {
        client.set_nodelay(true)?;
        let is_held = {
            let mut state = self.lock();
            state.clients += 1.0;
            state.clients <= self.option("--hold", 0.0)
        };
        if is_held {
            let state = self.lock();
            drop(
                self.has_left
                    .wait_while(state, |state| state.left == 0)
                    .unwrap_or_else(PoisonError::into_inner),
            );
        }
        let mut request = [0; REQUEST_BYTES];
        loop {
            match client.read_exact(&mut request) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
                read => read?,
            }
            if let Some(wait) = self.take() {
                thread::sleep(wait);
                client.write_all(&request)?;
            }
        }
    }
}

fn main() -> io::Result<()> {
    let mut words = std::env::args().skip(1);
    let addr = words.next().unwrap_or_else(|| "127.0.0.1:7107".to_owned());
    let mut options: HashMap<String, f64> = HashMap::new();
    while let (Some(name), Some(value)) = (words.next(), words.next()) {
        options.insert(name, value.parse().map_err(io::Error::other)?);
    }
    let seed = options.get("--seed").copied().unwrap_or(1.0).to_bits();
    let state = State { token_s: 0.0, stall_s: (0.0, 0.0), random: seed, clients: 0.0, left: 0 };
    let (state, has_left) = (Mutex::new(state), Condvar::new());
    let bucket = Arc::new(Bucket { began: Instant::now(), state, has_left, options });
    let listener = TcpListener::bind(addr)?;
    println!(
        "listening on {}: {} requests per second, {}",
        listener.local_addr()?,
        bucket.requests_per_second(),
        match bucket.stall_max_ms() {
            0.0 => "no stalls".to_owned(),
            max_ms => format!("stalls of up to {max_ms} ms, every {STALL_EVERY_S} s on average"),
        },
    );
    for client in listener.incoming() {
        let (client, bucket) = (client?, Arc::clone(&bucket));
        thread::spawn(move || {
            // A client that resets its connection has left as well.
            let _ = bucket.serve(client);
            bucket.lock().left += 1;
            bucket.has_left.notify_all();
        });
    }
    Ok(())
}
