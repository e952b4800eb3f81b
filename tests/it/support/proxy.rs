//! A network between a program and its database that can go silent, lose answers, or be cut.

use std::io::ErrorKind;
use std::io::Read;
use std::io::Write;
use std::net::Shutdown;
use std::net::TcpListener;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

/// A look at what the network is like.
const LOOK: Duration = Duration::from_millis(10);

/// What the network does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Network {
    /// Everything comes through.
    Up,
    /// Nothing comes through, and nobody is told.
    Silent,
    /// What the server answers is lost.
    Deaf,
    /// Connections are cut, and new ones too.
    Cut,
}

/// Listens on this machine and passes on to a socket, in threads of its own; they end with the process.
#[derive(Debug, Clone)]
pub(crate) struct Proxy {
    pub(crate) port: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    network: Network,
    /// Connections so far; those up to `lost` never move a byte again.
    opened: u64,
    lost: u64,
}

impl Proxy {
    pub(crate) fn to(socket: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let proxy =
            Self { port, state: Arc::new(Mutex::new(State { network: Network::Up, opened: 0, lost: 0 })) };
        let accepting = proxy.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let proxy = accepting.clone();
                let socket = socket.clone();
                std::thread::spawn(move || proxy.serve(&client, socket));
            }
        });
        proxy
    }

    pub(crate) fn be(&self, network: Network) {
        self.state.lock().unwrap().network = network;
    }

    /// Forgets the connections that are open now, without telling anybody: what a firewall does that restarts.
    pub(crate) fn forget(&self) {
        let mut state = self.state.lock().unwrap();
        state.lost = state.opened;
    }

    fn network(&self, number: u64) -> Network {
        let state = self.state.lock().unwrap();
        if number <= state.lost { Network::Silent } else { state.network }
    }

    fn serve(&self, client: &TcpStream, socket: PathBuf) {
        let number = {
            let mut state = self.state.lock().unwrap();
            state.opened += 1;
            state.opened
        };
        while self.network(number) == Network::Silent {
            std::thread::park_timeout(LOOK);
        }
        if self.network(number) == Network::Cut {
            return;
        }
        let Ok(server) = UnixStream::connect(socket) else { return };
        client.set_nodelay(true).unwrap();
        client.set_read_timeout(Some(LOOK)).unwrap();
        server.set_read_timeout(Some(LOOK)).unwrap();
        let (to_client, to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        let back = self.clone();
        let ended = || {
            let _ = client.shutdown(Shutdown::Both);
            let _ = server.shutdown(Shutdown::Both);
        };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                back.pump(number, &server, to_client, Network::Deaf);
                ended();
            });
            self.pump(number, client, to_server, Network::Cut);
            ended();
        });
    }

    /// Moves bytes until an end closes or the network is cut; loses them while the network `loses` them.
    fn pump(&self, number: u64, mut from: impl Read, mut to: impl Write, loses: Network) {
        let mut bytes = [0; 16 * 1024];
        loop {
            let network = self.network(number);
            if network == Network::Cut {
                return;
            }
            if network == Network::Silent {
                std::thread::park_timeout(LOOK);
                continue;
            }
            match from.read(&mut bytes) {
                Ok(0) => return,
                Ok(count) => {
                    while self.network(number) == Network::Silent {
                        std::thread::park_timeout(LOOK);
                    }
                    if self.network(number) != loses && to.write_all(&bytes[..count]).is_err() {
                        return;
                    }
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => return,
            }
        }
    }
}
