//! Against a server of our own that answers as told: well, not at all, late, or with what it was never given.

use std::{collections::HashMap, net::SocketAddr, time::Instant};

use nereid_inference::NamedTensor;
use nereid_tensor::Tensor;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

use super::*;

/// What the server does with commands on entries; greetings it always answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mood {
    Honest,
    /// Reads and says nothing.
    Silent,
    /// Gives every entry with one byte changed.
    Lying,
    /// Answers with an error.
    Refusing,
    /// Ends the connection.
    Hangs,
    /// Greets nobody without a password.
    Locked,
}

struct Server {
    address: SocketAddr,
    mood: Arc<Mutex<Mood>>,
    entries: Arc<Mutex<HashMap<String, Vec<u8>>>>,
    /// Commands on entries that it has read.
    commands: Arc<AtomicUsize>,
}

impl Server {
    async fn start(mood: Mood) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server =
            Self { address, mood: Arc::new(Mutex::new(mood)), entries: Arc::default(), commands: Arc::default() };
        let (mood, entries, commands) = (server.mood.clone(), server.entries.clone(), server.commands.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(stream, mood.clone(), entries.clone(), commands.clone()));
            }
        });
        server
    }

    fn settings(&self) -> RedisSettings {
        let settings = [("host", self.address.ip().to_string()), ("port", self.address.port().to_string())];
        let settings = settings.iter().map(|(key, value)| (*key, value.as_str()));
        RedisSettings::read(settings, |_| None).unwrap()
    }
}

async fn converse(
    stream: TcpStream,
    mood: Arc<Mutex<Mood>>,
    entries: Arc<Mutex<HashMap<String, Vec<u8>>>>,
    commands: Arc<AtomicUsize>,
) {
    let mut stream = BufReader::new(stream);
    while let Some(words) = read_command(&mut stream).await {
        let name = String::from_utf8_lossy(&words[0]).to_uppercase();
        if name == "PING" {
            let locked = *mood.lock() == Mood::Locked;
            let answer: &[u8] = if locked { b"-NOAUTH Authentication required.\r\n" } else { b"+PONG\r\n" };
            stream.write_all(answer).await.unwrap();
            continue;
        }
        commands.fetch_add(1, Relaxed);
        let key = String::from_utf8_lossy(&words[1]).into_owned();
        let mood = *mood.lock();
        let answer = match (mood, name.as_str()) {
            (Mood::Silent, _) => continue,
            (Mood::Hangs, _) => return,
            (Mood::Refusing, _) => b"-OOM command not allowed\r\n".to_vec(),
            (_, "SET") => {
                entries.lock().insert(key, words[2].clone());
                b"+OK\r\n".to_vec()
            }
            (_, "GETRANGE") => {
                let mut value = entries.lock().get(&key).cloned().unwrap_or_default();
                if let Some(last) = value.last_mut().filter(|_| mood == Mood::Lying) {
                    *last ^= 1;
                }
                [format!("${}\r\n", value.len()).as_bytes(), &value, b"\r\n"].concat()
            }
            (_, other) => panic!("unexpected command {other}"),
        };
        if stream.write_all(&answer).await.is_err() {
            return;
        }
    }
}

async fn read_command(stream: &mut BufReader<TcpStream>) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    for _ in 0..read_length(stream).await? {
        let mut word = vec![0; read_length(stream).await? + 2];
        stream.read_exact(&mut word).await.ok()?;
        word.truncate(word.len() - 2);
        words.push(word);
    }
    Some(words)
}

/// The number behind `*` or `$`.
async fn read_length(stream: &mut BufReader<TcpStream>) -> Option<usize> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    line.get(1..)?.trim().parse().ok()
}

fn response(mark: f32) -> InferResponse {
    InferResponse::new(vec![NamedTensor::new("Y", Tensor::from_elements([1], &[mark]).unwrap())])
}

fn key() -> CacheKey {
    CacheKey::of_number(7)
}

async fn find(cache: &RedisCache) -> Option<f32> {
    let found = match cache.lookup(&key()) {
        Lookup::Hit(response) => Some(response),
        Lookup::Miss => None,
        Lookup::Pending(lookup) => lookup.await,
    };
    found?.output("Y")?.elements::<f32>()?.first().copied()
}

/// Time enough for a busy machine; what is about slowness says so.
fn limits() -> CacheLimits {
    CacheLimits {
        redis_operation_max: Duration::from_secs(20),
        redis_pause: Duration::from_millis(100),
        ..CacheLimits::default()
    }
}

fn impatient() -> CacheLimits {
    CacheLimits { redis_operation_max: Duration::from_millis(200), ..limits() }
}

async fn cache(server: &Server) -> Arc<RedisCache> {
    RedisCache::start(&server.settings(), &limits()).await.unwrap()
}

/// Looks until the answer is `expected`; whoever waits for ever has failed.
async fn until_found(cache: &RedisCache, expected: f32) {
    let found = async {
        while find(cache).await != Some(expected) {
            cache.insert(&key(), &response(expected));
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), found).await.expect("never found again");
}

#[tokio::test]
async fn what_was_put_away_is_found_at_once_and_by_others() {
    let server = Server::start(Mood::Honest).await;
    let (one, other) = (cache(&server).await, cache(&server).await);
    assert_eq!(find(&one).await, None);
    one.insert(&key(), &response(3.0));
    assert_eq!(find(&one).await, Some(3.0));
    assert_eq!(find(&other).await, Some(3.0));
    assert!(server.entries.lock().keys().all(|name| name.starts_with("nereid:answer:")));
}

#[tokio::test]
async fn a_lie_is_a_miss_and_the_truth_is_found_after_it() {
    let server = Server::start(Mood::Honest).await;
    let cache = cache(&server).await;
    cache.insert(&key(), &response(1.0));
    *server.mood.lock() = Mood::Lying;
    assert_eq!(find(&cache).await, None);
    *server.mood.lock() = Mood::Honest;
    assert_eq!(find(&cache).await, Some(1.0));
}

#[tokio::test]
async fn an_error_is_a_miss() {
    let server = Server::start(Mood::Refusing).await;
    let cache = cache(&server).await;
    cache.insert(&key(), &response(1.0));
    assert_eq!(find(&cache).await, None);
    assert!(cache.shared.is_refusing.load(Relaxed), "said in the log");
    *server.mood.lock() = Mood::Honest;
    until_found(&cache, 2.0).await;
    assert!(!cache.shared.is_refusing.load(Relaxed));
}

#[tokio::test]
async fn a_server_that_wants_a_password_refuses_the_start() {
    let server = Server::start(Mood::Locked).await;
    let error = RedisCache::start(&server.settings(), &limits()).await.err().unwrap().to_string();
    assert!(error.starts_with("Failed to initialize RedisCache: 127.0.0.1:") && error.contains("NOAUTH"), "{error}");
}

#[tokio::test]
async fn a_silent_server_is_asked_once_and_then_left_alone_for_a_while() {
    let server = Server::start(Mood::Silent).await;
    let limits = CacheLimits { redis_pause: Duration::from_secs(3_600), ..impatient() };
    let cache = RedisCache::start(&server.settings(), &limits).await.unwrap();
    assert_eq!(find(&cache).await, None);
    for _ in 0..50 {
        assert_eq!(find(&cache).await, None);
        cache.insert(&key(), &response(1.0));
    }
    assert_eq!(server.commands.load(Relaxed), 1);
}

#[tokio::test]
async fn what_was_too_slow_or_hung_up_is_asked_again_later() {
    for mood in [Mood::Silent, Mood::Hangs] {
        let server = Server::start(mood).await;
        let cache = RedisCache::start(&server.settings(), &impatient()).await.unwrap();
        assert_eq!(find(&cache).await, None);
        *server.mood.lock() = Mood::Honest;
        until_found(&cache, 5.0).await;
    }
}

#[tokio::test]
async fn a_server_that_is_away_at_the_start_is_waited_for() {
    // A port that nobody listens at, and somebody may later.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let away =
        Server { address, mood: Arc::new(Mutex::new(Mood::Honest)), entries: Arc::default(), commands: Arc::default() };
    let cache = cache(&away).await;
    let started = Instant::now();
    assert_eq!(find(&cache).await, None);
    cache.insert(&key(), &response(1.0));
    assert!(started.elapsed() < limits().redis_operation_max, "nobody waits for a server that is away");
    let listener = TcpListener::bind(address).await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    tokio::spawn(converse(stream, away.mood.clone(), away.entries.clone(), away.commands.clone()));
    until_found(&cache, 4.0).await;
}

#[tokio::test]
async fn what_is_too_large_is_not_sent() {
    let server = Server::start(Mood::Honest).await;
    let limits = CacheLimits { entry_bytes_max: 3, ..limits() };
    let cache = RedisCache::start(&server.settings(), &limits).await.unwrap();
    cache.insert(&key(), &response(1.0));
    assert_eq!(find(&cache).await, None);
    assert!(server.entries.lock().is_empty());
}

#[tokio::test]
async fn what_is_on_its_way_has_a_limit() {
    let server = Server::start(Mood::Silent).await;
    let limits = CacheLimits { redis_insert_bytes_max: 8, redis_operation_max: Duration::from_secs(60), ..limits() };
    let cache = RedisCache::start(&server.settings(), &limits).await.unwrap();
    for _ in 0..5 {
        cache.insert(&key(), &response(1.0));
    }
    assert_eq!(cache.shared.insert_bytes.load(Relaxed), 8);
}

#[tokio::test]
async fn a_certificate_that_cannot_be_read_is_named() {
    let server = Server::start(Mood::Honest).await;
    let tls = RedisTls { authority: Some("/nowhere/ca.pem".into()), ..RedisTls::default() };
    let settings = RedisSettings { tls: Some(tls), ..server.settings() };
    let error = RedisCache::start(&settings, &limits()).await.err().unwrap().to_string();
    assert!(
        error.starts_with("Failed to initialize RedisCache: the authority's certificate '/nowhere/ca.pem'"),
        "{error}"
    );
}
