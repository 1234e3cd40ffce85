//! A connection with a protocol of single bytes, and frames of HTTP/2 that mean nothing.

use super::{Connection, Stream, call, run};
use hyper::rt::{Read as _, ReadBuf, Write as _};
use std::future::poll_fn;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// What a machine that is busy may take.
const LONG: Duration = Duration::from_secs(20);
const PONG: &[u8; 17] = b"\0\0\x08\x06\x01\0\0\0\0 8 bytes";

async fn read(stream: &mut Stream) -> Option<u8> {
    let mut bytes = [0];
    let mut buffer = ReadBuf::new(&mut bytes);
    poll_fn(|context| Pin::new(&mut *stream).poll_read(context, buffer.unfilled()))
        .await
        .ok()?;
    buffer.filled().first().copied()
}

async fn write(stream: &mut Stream, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let written = poll_fn(|context| Pin::new(&mut *stream).poll_write(context, bytes)).await;
        bytes = &bytes[written.expect("write")..];
    }
}

/// A client, and a connection that is run for it.
fn connect<F>(serve: impl FnOnce(Stream, super::Spawner) -> F) -> (UnixStream, Connection)
where
    F: Future<Output = ()> + Send + 'static,
{
    let (client, socket) = UnixStream::pair().expect("a pair");
    client.set_read_timeout(Some(LONG)).expect("a time-out");
    socket.set_nonblocking(true).expect("not blocking");
    (client, run(socket, serve).expect("run"))
}

fn get<const N: usize>(mut client: &UnixStream) -> [u8; N] {
    let mut bytes = [0; N];
    client.read_exact(&mut bytes).expect("an answer");
    bytes
}

fn put(mut client: &UnixStream, bytes: &[u8]) {
    client.write_all(bytes).expect("ask");
}

/// Answers `e` at once, `s` when a call has ended that waits for `release`, and `p` after a call that panics.
async fn answer(mut stream: Stream, release: mpsc::Receiver<()>) {
    let release = std::sync::Arc::new(std::sync::Mutex::new(release));
    let mut slow = tokio::task::JoinSet::new();
    while let Some(asked) = read(&mut stream).await {
        match asked {
            b's' => {
                let release = std::sync::Arc::clone(&release);
                let wait = move || release.lock().expect("a lock").recv_timeout(LONG).is_ok();
                slow.spawn(call(wait));
            }
            b'p' => {
                let broken = call(|| panic!("as asked")).await;
                assert!(broken.is_err());
            }
            b'j' => {
                let all = std::mem::take(&mut slow).join_all().await;
                assert!(all.into_iter().all(|released| released == Ok(true)));
            }
            _ => {}
        }
        write(&mut stream, &[0, 0, 0, 0, 0, 0, 0, 0, asked]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn calls_that_take_long_stop_nothing_else_however_many_there_are() {
    let (release, wait) = mpsc::channel();
    let (client, connection) = connect(|stream, _| answer(stream, wait));
    for _ in 0..10 {
        put(&client, b"s");
        assert_eq!(get::<9>(&client)[8], b's');
        put(&client, b"e");
        assert_eq!(get::<9>(&client)[8], b'e');
    }
    for _ in 0..10 {
        release.send(()).expect("it waits");
    }
    put(&client, b"j");
    assert_eq!(get::<9>(&client)[8], b'j');
    drop(client);
    connection.await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn nothing_is_lost_when_calls_end_just_as_they_are_taken_for_long() {
    let connections = (0..8).map(|connection| {
        connect(move |mut stream, _| async move {
            while let Some(asked) = read(&mut stream).await {
                let micros = 1500 + 50 * (u64::from(asked) * 7 + connection * 3) % 3000;
                let slept = call(move || std::thread::sleep(Duration::from_micros(micros))).await;
                assert_eq!(slept, Ok(()));
                write(&mut stream, &[0, 0, 0, 0, 0, 0, 0, 0, asked]).await;
            }
        })
    });
    let (clients, connections): (Vec<_>, Vec<_>) = connections.unzip();
    std::thread::scope(|scope| {
        for client in &clients {
            scope.spawn(move || {
                for asked in 0..200 {
                    put(client, &[asked]);
                    assert_eq!(get::<9>(client)[8], asked);
                }
            });
        }
    });
    drop(clients);
    for connection in connections {
        connection.await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_call_that_breaks_is_told_and_breaks_nothing_else() {
    let (_release, wait) = mpsc::channel();
    let (client, connection) = connect(|stream, _| answer(stream, wait));
    for asked in [b"p", b"e"] {
        put(&client, asked);
        assert_eq!(get::<9>(&client)[8], asked[0]);
    }
    drop(client);
    connection.await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_connection_that_no_one_waits_for_any_more_ends() {
    let (_release, wait) = mpsc::channel();
    let (client, connection) = connect(|stream, _| answer(stream, wait));
    drop(connection);
    let mut left = Vec::new();
    let read = (&client).read_to_end(&mut left).expect("the end");
    assert_eq!(read, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn timers_and_tasks_of_its_own_wake_it() {
    let (client, connection) = connect(|mut stream, spawner| async move {
        let (tell, told) = tokio::sync::oneshot::channel();
        hyper::rt::Executor::execute(&spawner, async move {
            tokio::time::sleep(Duration::from_millis(30)).await;
            tell.send(b'!').expect("it waits");
        });
        let told = told.await.expect("it is told");
        write(&mut stream, &[told]).await;
    });
    assert_eq!(get(&client), [b'!']);
    connection.await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_answer_to_a_ping_waits_and_goes_between_two_frames() {
    let (client, connection) = connect(|mut stream, _| async move {
        write(&mut stream, PONG).await;
        write(&mut stream, b"\0\0\x03\0\0\0\0\0\x01").await;
        // It may go from now on, but not here.
        tokio::time::sleep(Duration::from_millis(60)).await;
        write(&mut stream, b"abc").await;
        write(&mut stream, b"\0\0\0\0\0\0\0\0\x01").await;
        write(&mut stream, PONG).await;
        let end = read(&mut stream).await;
        assert_eq!(end, None);
    });
    let wanted = b"\0\0\x03\0\0\0\0\0\x01abc";
    assert_eq!(&get::<12>(&client), wanted);
    assert_eq!(&get::<17>(&client), PONG);
    assert_eq!(&get::<9>(&client), b"\0\0\0\0\0\0\0\0\x01");
    let began = Instant::now();
    assert_eq!(&get::<17>(&client), PONG, "one alone goes in the end");
    assert!(began.elapsed() < LONG / 2);
    drop(client);
    connection.await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_answer_to_a_ping_splits_no_block_of_headers() {
    const BEGUN: &[u8] = b"\0\0\x01\x01\0\0\0\0\x01h";
    const ENDED: &[u8] = b"\0\0\x01\x09\x04\0\0\0\x01e";
    let (client, connection) = connect(|mut stream, _| async move {
        write(&mut stream, PONG).await;
        write(&mut stream, BEGUN).await;
        tokio::time::sleep(Duration::from_millis(60)).await;
        write(&mut stream, ENDED).await;
        assert_eq!(read(&mut stream).await, None);
    });
    assert_eq!(get::<20>(&client), *[BEGUN, ENDED].concat());
    assert_eq!(&get::<17>(&client), PONG);
    drop(client);
    connection.await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_answer_to_a_ping_outlasts_a_client_that_does_not_read() {
    const FRAME: [u8; 1009] = {
        let mut frame = [0; 1009];
        (frame[1], frame[2]) = (3, 232);
        frame
    };
    let (client, connection) = connect(|mut stream, _| async move {
        write(&mut stream, PONG).await;
        // More than the socket holds.
        for _ in 0..1000 {
            write(&mut stream, &FRAME).await;
        }
        assert_eq!(read(&mut stream).await, None);
    });
    tokio::time::sleep(Duration::from_millis(60)).await;
    let mut frames = 0;
    while frames < 1001 {
        let head = get::<9>(&client);
        frames += 1;
        if head == PONG[..9] {
            assert_eq!(get::<8>(&client), PONG[9..]);
            break;
        }
        assert_eq!(get::<1000>(&client), [0; 1000]);
    }
    assert!(frames < 1001, "it went while others did");
    let mut left = vec![0; (1001 - frames) * FRAME.len()];
    (&client).read_exact(&mut left).expect("the rest");
    drop(client);
    connection.await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_connection_that_is_cut_off_ends_for_its_client_while_a_call_still_runs() {
    let (release, wait) = mpsc::channel();
    let (client, connection) = connect(|stream, _| answer(stream, wait));
    put(&client, b"s");
    assert_eq!(get::<9>(&client)[8], b's');
    drop(connection);
    let mut left = Vec::new();
    assert_eq!((&client).read_to_end(&mut left).expect("the end"), 0);
    release.send(()).expect("the call still waits");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn more_than_a_socket_holds_comes_and_goes_in_order() {
    const BYTES: usize = 3 << 20;
    let byte = |number: usize| u8::try_from(number % 251).expect("small");
    let (client, connection) = connect(move |mut stream, _| async move {
        for number in 0..BYTES {
            assert_eq!(read(&mut stream).await, Some(byte(number)));
        }
        // One frame for each byte.
        for number in 0..1 << 16 {
            write(&mut stream, &[0, 0, 1, 0, 0, 0, 0, 0, 1, byte(number)]).await;
        }
    });
    let all: Vec<u8> = (0..BYTES).map(byte).collect();
    let sent = std::thread::scope(|scope| {
        let sender = scope.spawn(|| put(&client, &all));
        for number in 0..1 << 16 {
            assert_eq!(get::<10>(&client)[9], byte(number));
        }
        sender.join()
    });
    assert!(sent.is_ok());
    connection.await;
}
