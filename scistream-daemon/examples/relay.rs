//! dev
use scistream_daemon::dataplane::{engine::*, sockmap::*, *};
#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
async fn main() {
    let a: Vec<String> = std::env::args().collect();
    let choice = match a[3].as_str() {
        "splice" => PlaneChoice::Splice,
        "sockmap" => PlaneChoice::Sockmap,
        _ => PlaneChoice::Auto,
    };
    let program = if choice == PlaneChoice::Splice {
        None
    } else {
        let o = match std::env::var("OBJ") {
            Ok(p) => std::fs::read(p).unwrap(),
            _ => embedded_object().to_vec(),
        };
        Some(Program::load(&o).unwrap())
    };
    let w = std::env::var("W")
        .ok()
        .and_then(|w| w.parse().ok())
        .unwrap_or(2);
    let e = Engine::start(EngineConfig {
        workers: w,
        choice,
        program: program.clone(),
    })
    .unwrap();
    let l = tokio::net::TcpListener::bind(&a[1]).await.unwrap();
    if let Ok(cg) = std::env::var("CG") {
        program
            .as_ref()
            .unwrap()
            .track_local_apps(
                &std::fs::File::open(cg).unwrap(),
                &[
                    l.local_addr().unwrap().port(),
                    a[2].rsplit(":").next().unwrap().parse().unwrap(),
                ],
            )
            .unwrap();
    }
    eprintln!("listening {}", l.local_addr().unwrap());
    loop {
        let (d, _) = l.accept().await.unwrap();
        let u = match tokio::net::TcpStream::connect(&a[2]).await {
            Ok(u) => u,
            Err(x) => {
                eprintln!("{x}");
                continue;
            }
        };
        d.set_nodelay(true).unwrap();
        u.set_nodelay(true).unwrap();
        let (e, program) = (e.clone(), program.clone());
        tokio::spawn(async move {
            let t = e
                .relay(
                    StreamPair {
                        downstream: d.into_std().unwrap(),
                        upstream: u.into_std().unwrap(),
                    },
                    Default::default(),
                )
                .await;
            eprintln!(
                "{} {} up {:?} down {:?} {:?}",
                t.end,
                t.to_upstream.balances() && t.to_downstream.balances(),
                t.to_upstream,
                t.to_downstream,
                program.map(|p| p.entries())
            );
        });
    }
}
