//! A gateway in this process, and those who call it.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rcgen::{CertificateParams, CertifiedIssuer, DnType, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use scistream_daemon::audit::{Audit, AuditGuard};
use scistream_daemon::auth::TokenDigest;
use scistream_daemon::cli::LogFormat;
use scistream_daemon::config::{Settings, TokenFileSettings};
use scistream_daemon::connection_log::ConnectionLog;
use scistream_daemon::control::{ControlError, ControlPort};
use scistream_daemon::dataplane::copy::CopyPlane;
use scistream_daemon::dataplane::plane::StreamPlane;
use scistream_daemon::listener::Admission;
use scistream_daemon::metrics::{Answering, MetricsPort, Sources};
use scistream_daemon::sessions::{Sessions, SessionsConfig, SharedParts};
use scistream_daemon::wire::gateway::gateway_client::GatewayClient;
use scistream_daemon::wire::scistream as old;
use scistream_daemon::wire::scistream::control_client::ControlClient;
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

/// What takes longer than this on a busy machine has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The client id that refusals name.
pub(crate) const CLIENT_ID: &str = "the-gateway";

/// The uid of upstream's demo, which scripts of others use.
pub(crate) const UID: &str = "4f8583bc-a4d3-11ee-9fd6-034d1fcbd7c3";

pub(crate) type Old = ControlClient<Channel>;
pub(crate) type Own = GatewayClient<Channel>;

/// A folder of the test's own, removed at its end.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("s2cs-control-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Writes a file that nobody else may read.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.0);
    }
}

/// A certificate authority for this test, and what it signed for the gateway.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap());
        Self {
            issuer: issuer.unwrap(),
        }
    }

    pub(crate) fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A certificate and its key, PEM.
    pub(crate) fn sign(&self, name: &str) -> (String, String) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    /// How a caller that trusts this authority does TLS, with or without a certificate.
    pub(crate) fn callers_tls(&self, shown: Option<(String, String)>) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match shown {
            Some((certificate, key)) => {
                let chain = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                builder.with_client_auth_cert(vec![chain], key).unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Arc::new(config)
    }
}

/// A gateway that runs until it is dropped.
pub(crate) struct Rig {
    pub(crate) address: SocketAddr,
    pub(crate) authority: Authority,
    pub(crate) sessions: Sessions,
    /// The metrics port, where the settings have one.
    pub(crate) metrics: Option<SocketAddr>,
    _answering: Option<Answering>,
    is_tls: bool,
    _stop: oneshot::Sender<()>,
    _audit: Option<AuditGuard>,
    _folder: Folder,
}

impl Rig {
    /// A gateway over TLS where `alice`, `bob` and `root` (in the group `wheel`) are their own
    /// tokens.
    pub(crate) async fn start() -> Self {
        Self::with(|_settings, _folder| ()).await
    }

    /// The same, with changes.
    pub(crate) async fn with(change: impl FnOnce(&mut Settings, &Folder)) -> Self {
        Self::try_with(change).await.unwrap()
    }

    pub(crate) async fn try_with(
        change: impl FnOnce(&mut Settings, &Folder),
    ) -> Result<Self, ControlError> {
        let folder = Folder::new();
        let authority = Authority::new();
        let mut settings = basic_settings(&folder, &authority);
        change(&mut settings, &folder);
        let port = ControlPort::bind(&settings)?;
        let address = port.addresses()[0];
        let sessions = Sessions::start(SessionsConfig::of(&settings, &[address]), shared());
        let metrics = settings
            .metrics
            .listen
            .map(|listen| MetricsPort::bind(listen).unwrap());
        let scraped = metrics.as_ref().map(MetricsPort::address);
        let answering =
            metrics.map(|metrics| metrics.answer(Sources::new(sessions.clone(), port.counts())));
        let (audit, guard) = match &settings.audit.file {
            Some(path) => {
                let (audit, guard) = Audit::append_to(path).unwrap();
                (audit, Some(guard))
            }
            None => (Audit::in_the_log(), None),
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let own_sessions = sessions.clone();
        let is_tls = settings.control.ssl;
        tokio::spawn(async move {
            let stopped = async {
                let _gone = stopped.await;
            };
            port.serve(&settings, own_sessions, audit, stopped)
                .await
                .unwrap();
        });
        Ok(Self {
            address,
            authority,
            sessions,
            metrics: scraped,
            _answering: answering,
            is_tls,
            _stop: stop,
            _audit: guard,
            _folder: folder,
        })
    }

    /// A new connection to the control port.
    pub(crate) async fn channel(&self) -> Channel {
        let tls = self.is_tls.then(|| self.authority.callers_tls(None));
        connect(self.address, tls).await.unwrap()
    }

    /// A caller of SciStream's protocol, on a connection of its own.
    pub(crate) async fn old(&self) -> Old {
        ControlClient::new(self.channel().await).max_encoding_message_size(64 << 20)
    }

    /// A caller of our own protocol, on a connection of its own.
    pub(crate) async fn own(&self) -> Own {
        GatewayClient::new(self.channel().await)
    }
}

fn basic_settings(folder: &Folder, authority: &Authority) -> Settings {
    let (certificate, key) = authority.sign("localhost");
    let mut settings = Settings::default();
    settings.control.listener_ip = [127, 0, 0, 1].into();
    settings.control.port = 0;
    settings.control.server_crt = folder.write("server.crt", &certificate);
    settings.control.server_key = folder.write("server.key", &key);
    settings.sessions.port_range = "0".parse().unwrap();
    settings.auth.client_id = CLIENT_ID.to_owned();
    let line = |name: &str, groups: &str| format!("{name} {} {groups}\n", TokenDigest::of(name));
    let lines = [
        line("alice", "staff"),
        line("bob", "guests"),
        line("root", "wheel"),
    ]
    .concat();
    let file = folder.write("tokens", &lines);
    settings.auth.tokens = Some(TokenFileSettings { file });
    settings
}

fn shared() -> SharedParts {
    SharedParts {
        plane: StreamPlane::Copy(CopyPlane::new()),
        admission: Arc::new(Admission::new(1_000)),
        log: Arc::new(ConnectionLog::new(LogFormat::Text)),
    }
}

/// Connects to a control port, with or without TLS.
pub(crate) async fn connect(
    address: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
) -> Result<Channel, tonic::transport::Error> {
    let Some(tls) = tls else {
        return Endpoint::from_shared(format!("http://{address}"))
            .unwrap()
            .connect()
            .await;
    };
    let connector = tower::service_fn(move |_uri| {
        let connector = TlsConnector::from(Arc::clone(&tls));
        async move {
            let stream = tokio::net::TcpStream::connect(address).await?;
            // As every gRPC library does: a call's head and message are two small writes.
            stream.set_nodelay(true)?;
            let name = ServerName::try_from("localhost").unwrap();
            let stream = connector.connect(name, stream).await?;
            Ok::<_, io::Error>(TokioIo::new(stream))
        }
    });
    Endpoint::from_static("http://localhost")
        .connect_with_connector(connector)
        .await
}

/// A call with a token.
pub(crate) fn by<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request
        .metadata_mut()
        .insert("authorization", token.parse().unwrap());
    request
}

pub(crate) fn req(uid: &str, role: &str, num_conn: i32) -> old::Request {
    old::Request {
        uid: uid.to_owned(),
        role: role.to_owned(),
        num_conn,
        rate: 10_000,
    }
}

pub(crate) fn hello(uid: &str, role: &str, listeners: &[&str]) -> old::Hello {
    old::Hello {
        uid: uid.to_owned(),
        prod_listeners: listeners.iter().map(|&text| text.to_owned()).collect(),
        role: role.to_owned(),
    }
}

pub(crate) fn update(uid: &str, role: &str, targets: &[String]) -> old::UpdateTargets {
    old::UpdateTargets {
        uid: uid.to_owned(),
        remote_listeners: targets.to_vec(),
        role: role.to_owned(),
    }
}

pub(crate) fn release(uid: &str) -> old::Release {
    old::Release {
        uid: uid.to_owned(),
    }
}

/// Makes a session the way old programs do, as `token`: `req`, and `hello` while it waits.
pub(crate) async fn session(old: &Old, token: &str, uid: &str, num_conn: i32) -> old::Response {
    let mut asking = old.clone();
    let request = by(token, req(uid, "PROD", num_conn));
    let waiting = tokio::spawn(async move { asking.req(request).await });
    say_hello(old, token, uid).await;
    waiting.await.unwrap().unwrap().into_inner()
}

/// Says hello until the session is there: `req` does not say when it waits.
pub(crate) async fn say_hello(old: &Old, token: &str, uid: &str) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        match old
            .clone()
            .hello(by(token, hello(uid, "PROD", &["127.0.0.1:9"])))
            .await
        {
            Ok(_answer) => return,
            Err(status)
                if status.code() == Code::NotFound && tokio::time::Instant::now() < deadline =>
            {
                tokio::task::yield_now().await;
            }
            Err(status) => panic!("{status:?}"),
        }
    }
}

/// The code and draft-02's code of a refusal.
pub(crate) fn codes(status: &Status) -> (Code, String) {
    use tonic_types::StatusExt;
    let details = status.get_error_details();
    let draft = details.error_info().map(|info| info.reason.clone());
    (status.code(), draft.unwrap_or_default())
}

/// A target that returns whatever it gets, for ever.
pub(crate) fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || io::copy(&mut &stream, &mut &stream));
        }
    });
    address
}

/// Sends a message through a listener and waits until it comes back.
pub(crate) fn round_trip(listener: &str) -> TcpStream {
    let mut stream = TcpStream::connect(listener).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"there and back").unwrap();
    let mut got = [0; 14];
    stream.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"there and back");
    stream
}
