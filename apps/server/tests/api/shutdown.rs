//! A real socket: stopping while clients write and search.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use kokeshi_server::{App, Error, Models, Server, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::memory::Memory;

/// A server on a free port, how to stop it, and how it ended.
async fn serve(
    memory: &Arc<Memory>,
    config: ServerConfig,
) -> (SocketAddr, oneshot::Sender<()>, JoinHandle<Result<(), Error>>) {
    let config = ServerConfig {
        address: "127.0.0.1:0".parse().unwrap(),
        ..config
    };
    let app = App::new(config, vec![("notes".into(), memory.clone())], Models::default()).unwrap();
    let server = Server::bind(app).await.unwrap();
    let address = server.address();
    let (stop, stopped) = oneshot::channel();
    let run = tokio::spawn(server.run(async {
        let _ = stopped.await;
    }));
    (address, stop, run)
}

/// The status of one POST of document `id`, or why there was no answer.
async fn post(address: SocketAddr, id: String) -> Result<u16, Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::post("/collections/notes/documents")
        .header("host", "localhost")
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(format!(r#"{{"id": "{id}"}}"#))))?;
    let response = sender.send_request(request).await?;
    let status = response.status().as_u16();
    response.into_body().collect().await?;
    Ok(status)
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_in_the_middle_of_writes_loses_none_that_was_acknowledged() {
    let memory = Memory::new();
    let (address, stop, run) = serve(&memory, ServerConfig::default()).await;
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            tokio::spawn(async move {
                let mut acknowledged = Vec::new();
                for number in 0.. {
                    let id = format!("{writer}-{number}");
                    match post(address, id.clone()).await {
                        Ok(200) => acknowledged.push(id),
                        // Refused or not connected: the server is stopping.
                        _ => break,
                    }
                }
                acknowledged
            })
        })
        .collect();
    while memory.generation.load(Ordering::SeqCst) < 20 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    stop.send(()).unwrap();
    run.await.unwrap().unwrap();
    let there = memory.ids();
    let mut count = 0;
    for writer in writers {
        for id in writer.await.unwrap() {
            assert!(there.contains(&id), "{id} was acknowledged and is lost");
            count += 1;
        }
    }
    assert!(count >= 20);
    assert!(TcpStream::connect(address).await.is_err(), "it still listens");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_in_flight_is_committed_and_answered_before_the_end() {
    let memory = Memory::new();
    let (address, stop, run) = serve(&memory, ServerConfig::default()).await;
    memory.held.store(true, Ordering::SeqCst);
    let write = tokio::spawn(post(address, "late".into()));
    while !memory.committing.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    stop.send(()).unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!run.is_finished(), "it did not wait for the write");
    memory.held.store(false, Ordering::SeqCst);
    assert_eq!(write.await.unwrap().unwrap(), 200);
    run.await.unwrap().unwrap();
    assert_eq!(memory.ids(), ["late"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_deadline_ends_what_hangs_and_says_so() {
    let memory = Memory::new();
    let config = ServerConfig {
        shutdown_deadline: Duration::from_millis(100),
        ..ServerConfig::default()
    };
    let (address, stop, run) = serve(&memory, config).await;
    memory.held.store(true, Ordering::SeqCst);
    let write = tokio::spawn(post(address, "stuck".into()));
    while !memory.committing.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    stop.send(()).unwrap();
    let error = run.await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Deadline(1)), "{error}");
    assert!(!write.is_finished(), "it was acknowledged without being durable");
    memory.held.store(false, Ordering::SeqCst);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_is_used_for_tidying_until_a_write_or_the_end_comes() {
    let memory = Memory::new();
    let config = ServerConfig {
        writer_idle: Duration::from_millis(20),
        ..ServerConfig::default()
    };
    let (address, stop, run) = serve(&memory, config).await;
    memory.tidies_on.store(true, Ordering::SeqCst);
    for id in ["first", "second"] {
        assert_eq!(post(address, id.into()).await.unwrap(), 200);
        while !memory.tidying.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    stop.send(()).unwrap();
    run.await.unwrap().unwrap();
    assert!(
        !memory.tidying.load(Ordering::SeqCst),
        "the server ended in the middle of it"
    );
    assert_eq!(memory.ids(), ["first", "second"]);
}

#[tokio::test]
async fn what_is_not_http_or_too_slow_is_cut_off() {
    let config = ServerConfig {
        read_timeouts: [Duration::from_millis(200); 2],
        ..ServerConfig::default()
    };
    let (address, _stop, _run) = serve(&Memory::new(), config).await;
    let huge = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(2 << 20));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(200));
    let table = [
        ("\u{16}\u{3}\u{1} this is no HTTP\r\n\r\n", &["HTTP/1.1 400"][..]),
        ("GET / HTTP/1.1\r\nhost: x", &[""]),
        (
            "POST /collections/notes/search HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{",
            &["HTTP/1.1 408"],
        ),
        // The rest of the head is not read, so the system may reset the connection before the answer arrives.
        (&huge, &["HTTP/1.1 431", ""]),
        (&many, &["HTTP/1.1 431"]),
    ];
    for (sent, answers) in table {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // The server may hang up before it has read everything.
        let _ = stream.write_all(sent.as_bytes()).await;
        let mut answer = vec![0; 12];
        // A connection that is only closed reads as nothing, one that is reset as an error.
        let read = stream.read(&mut answer).await.unwrap_or(0);
        let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
        assert!(
            answers.contains(&answer.as_str()),
            "{}: {answer}",
            &sent[..sent.len().min(60)]
        );
    }
}
