//! Files at `/`, and notes as JSON at `/api/`.
//!
//! ```sh
//! cargo run --example api --features http
//! ```
//!
//! It serves this directory, and lists it at `http://127.0.0.1:8001/`. In another terminal:
//!
//! ```sh
//! curl -d '{"text":"buy milk"}' http://127.0.0.1:8001/api/notes
//! curl http://127.0.0.1:8001/api/notes
//! ```

use std::sync::{Mutex, PoisonError};

use oneloop::limits::Limits;
use oneloop::reactor::Reactor;
use oneloop::services::http::{BodyPolicy, ConfigError, Files, FilesConfig, Handler, Http};
use oneloop::services::http::{Method, Request, Response, Router, Status};
use serde_json::{Value, json};

/// Notes that may be kept: strangers write them.
const NOTES_MAX: usize = 1000;

#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl Handler for Notes {
    fn respond(&self, request: &Request<'_>) -> Response {
        if request.path() != b"/api/notes" {
            return Response::error(Status::NotFound);
        }
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match request.method() {
            Method::Get | Method::Head => answer(Status::Ok, &json!(*notes)),
            Method::Post if notes.len() == NOTES_MAX => Response::error(Status::Unavailable),
            Method::Post => {
                let note: Value = serde_json::from_slice(request.body()).unwrap_or_default();
                let Some(text) = note["text"].as_str() else { return Response::error(Status::BadRequest) };
                notes.push(text.to_owned());
                answer(Status::Created, &json!({ "id": notes.len() - 1 }))
            }
            _ => Response::error(Status::MethodNotAllowed).with_field("Allow", "GET, HEAD, POST"),
        }
    }

    fn body_policy(&self, _request: &Request<'_>) -> BodyPolicy {
        BodyPolicy::Keep { bytes_max: 4 << 10 }
    }
}

fn answer(status: Status, body: &Value) -> Response {
    Response::new(status).with_field("Content-Type", "application/json").with_body(body.to_string())
}

fn service(directory: &str) -> Result<Http<Router>, ConfigError> {
    let files = Files::new(FilesConfig { listing: true, ..FilesConfig::new(directory) })?;
    Ok(Http::new(Router::new().route("/", files).route("/api/", Notes::default())))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut reactor = Reactor::new(Limits::default())?;
    println!("listening on http@{}", reactor.bind("127.0.0.1:8001", service(".")?)?);
    println!("{}", reactor.run()?);
    Ok(())
}

#[test]
fn a_note_that_is_posted_is_listed_and_all_other_paths_are_files() -> Result<(), ConfigError> {
    let service = service(env!("CARGO_MANIFEST_DIR"))?;
    let ask = |request: &str| {
        let request = request.replace("HTTP/1.1", "HTTP/1.1\r\nHost: localhost");
        let answer = oneloop::session::rehearsal::answer(&service, &[request.as_bytes()], true, 64 << 10);
        String::from_utf8_lossy(&answer).into_owned()
    };
    let post =
        |body: &str| format!("POST /api/notes HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let milk = post("{\"text\": \"milk\"}");
    assert!(ask(&milk).contains("201 Created") && ask(&milk).ends_with("{\"id\":1}"));
    assert!(ask("GET /api/notes HTTP/1.1\r\n\r\n").ends_with("[\"milk\",\"milk\"]"));
    assert!(ask(&post("[]")).contains("400 Bad Request"));
    assert!(ask(&post(&"a".repeat(9999))).contains("413 Content Too Large"));
    assert!(ask("GET / HTTP/1.1\r\n\r\n").contains("Cargo.toml"));
    assert!(ask("GET /Cargo.toml HTTP/1.1\r\n\r\n").contains("name = \"oneloop\""));
    Ok(())
}
