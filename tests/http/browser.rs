//! A browser shows a page of ours with images, a script and a video, seeks in it, and goes on with a broken
//! download. It reports its findings by requesting `/report?…`, which the test reads in the access log.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::http::Site;
use crate::common::{KilledOnDrop, Server, eventually, eventually_some, has_program};

/// The smallest picture: one pixel.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89\
\0\0\0\rIDATx\x9cc\xf8\xcf\xc0\xf0\x1f\0\x05\0\x01\xff\x89\x99=\x1d\0\0\0\0IEND\xaeB`\x82";
/// 20 seconds of a test picture.
const VIDEO: &[u8] = include_bytes!("../data/clip.webm");

const PAGE: &str = r#"<!doctype html><meta charset=utf-8><title>page</title>
<img src="one.png"><img src="folder/two%20.png"><video src="clip.webm" muted></video>
<video id=long src="long.wav" preload=metadata muted></video><script src="app.js"></script>"#;

const SCRIPT: &str = r#"
const once = (thing, name) => new Promise(done => thing.addEventListener(name, done, {once: true}));
const seek = async (media, time) => {
  if (media.readyState < 1) await once(media, "loadedmetadata");
  media.currentTime = time;
  await once(media, "seeked");
  return [media.duration, media.seekable.end(0), media.currentTime].map(Math.round).join(",");
};
addEventListener("load", async () => {
  try {
    const images = [...document.images].map(image => image.naturalWidth).join(",");
    const video = await seek(document.querySelector("video"), 15);
    const long = await seek(document.getElementById("long"), 3000);
    await fetch(`report?images=${images}&video=${video}&long=${long}`);
  } catch (error) { await fetch("report?error=" + encodeURIComponent(error)); }
});
"#;

/// Opens `url` in a Chromium without a window, with a new profile in `profile`.
fn open(profile: &Path, args: &[&str], url: &str) -> KilledOnDrop {
    let mut command = Command::new("chromium");
    command
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
        .args(["--no-proxy-server", "--autoplay-policy=no-user-gesture-required"])
        .arg(format!("--user-data-dir={}", profile.display()))
        .args(args)
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    KilledOnDrop::spawn(command)
}

/// A long sound without compression, so that a place in it is a place in the file: an hour of silence.
fn wav() -> Vec<u8> {
    const RATE: u32 = 8_000;
    let len = RATE * 3_600;
    let mut wav = Vec::new();
    wav.extend(b"RIFF");
    wav.extend((36 + len).to_le_bytes());
    wav.extend(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
    wav.extend(RATE.to_le_bytes());
    wav.extend(RATE.to_le_bytes());
    wav.extend(b"\x01\0\x08\0data");
    wav.extend(len.to_le_bytes());
    wav.resize(wav.len() + len as usize, 0x80);
    wav
}

#[test]
fn a_page_with_images_a_script_and_a_video_works_and_seeks() {
    if !has_program("chromium") {
        return;
    }
    let site = Site::new();
    site.file("index.html", PAGE);
    site.file("app.js", SCRIPT);
    site.file("one.png", PNG);
    site.file("folder/two .png", PNG);
    site.file("clip.webm", VIDEO);
    site.file("long.wav", wav());
    let mut server = Server::serve(&[&crate::common::http::spec(&site.root()), "--access-log", "-"]);
    let url = format!("http://{}/", server.address("http").tcp());
    let _browser = open(&site.beside("profile"), &[], &url);
    let report = eventually_some("the report of the page", || {
        let log = server.stdout();
        let report = log.split("GET /report?").nth(1)?;
        Some(report.split(' ').next().unwrap().to_owned())
    });
    assert_eq!(report, "images=1,1&video=20,20,15&long=3600,3600,3000");
    // To the last ten minutes of the hour in one leap: not by loading all before. A browser may also ask
    // whether what it has is still so.
    let log = server.stdout();
    let sound: Vec<_> = log.lines().filter(|line| line.contains("GET /long.wav")).collect();
    let with = |status: &str| sound.iter().filter(|line| line.contains(status)).count();
    let (parts, unchanged) = (with("\" 206 "), with("\" 304 "));
    assert!(parts >= 2 && parts + unchanged == sound.len(), "{sound:#?}");
}

/// Passes a connection on, and cuts the first big answer in its midst, cleanly.
fn cutting_relay(to: SocketAddr, after_bytes: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let cut = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        for client in listener.incoming().map_while(Result::ok) {
            let server = TcpStream::connect(to).unwrap();
            let (mut upward, mut there) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut upward, &mut there));
            let cut = std::sync::Arc::clone(&cut);
            std::thread::spawn(move || relay(server, client, after_bytes, &cut));
        }
    });
    addr
}

fn relay(mut from: TcpStream, mut to: TcpStream, after_bytes: usize, cut: &std::sync::atomic::AtomicBool) {
    let (mut passed, mut piece) = (0, [0; 16 << 10]);
    while let Ok(len @ 1..) = from.read(&mut piece) {
        if to.write_all(&piece[..len]).is_err() {
            return;
        }
        passed += len;
        if passed > after_bytes && !cut.swap(true, std::sync::atomic::Ordering::Relaxed) {
            break;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Both);
    let _ = from.shutdown(std::net::Shutdown::Both);
}

#[test]
fn a_broken_download_is_resumed() {
    if !has_program("chromium") {
        return;
    }
    let site = Site::new();
    let bytes: Vec<u8> = (0..2_000_000u32).flat_map(u32::to_le_bytes).collect();
    site.file("big.bin", &bytes);
    site.file(
        "index.html",
        "<!doctype html><a href=big.bin download>get</a><script>document.links[0].click()</script>",
    );
    let folder = site.beside("downloads");
    let profile = site.beside("profile");
    std::fs::create_dir_all(profile.join("Default")).unwrap();
    let preferences = format!(
        r#"{{"download":{{"default_directory":"{}","prompt_for_download":false}}}}"#,
        folder.display()
    );
    std::fs::write(profile.join("Default/Preferences"), preferences).unwrap();
    std::fs::create_dir(&folder).unwrap();
    let mut server = Server::serve(&[&crate::common::http::spec(&site.root()), "--access-log", "-"]);
    let relay = cutting_relay(server.address("http").tcp(), 3_000_000);
    let _browser = open(&profile, &[], &format!("http://{relay}/"));
    eventually("the whole download", || std::fs::read(folder.join("big.bin")).is_ok_and(|got| got == bytes));
    eventually("the resumed part in the log", || {
        server.stdout().lines().any(|line| line.contains("GET /big.bin") && line.contains("\" 206 "))
    });
}
