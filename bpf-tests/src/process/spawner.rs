//! The thread that spawns every child of the lab.
//!
//! PDEATHSIG fires when the *thread* that spawned a child ends, not the process. A test may spawn
//! on a short-lived thread and keep the child, so all spawning is done by one thread that lives
//! until the process ends.

use std::io;
use std::process::{Child, Command};
use std::sync::mpsc::{self, Sender};
use std::sync::{LazyLock, Mutex, PoisonError};

struct Order {
    command: Command,
    answer: Sender<io::Result<Child>>,
}

static ORDERS: LazyLock<Mutex<Option<Sender<Order>>>> = LazyLock::new(|| Mutex::new(start()));

/// Spawns `command` on the spawner's thread.
pub(super) fn spawn(command: Command) -> io::Result<Child> {
    let (answer, answered) = mpsc::channel();
    let gone = || io::Error::other("the spawner thread could not be started");
    let orders = ORDERS
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    let order = Order { command, answer };
    orders.ok_or_else(gone)?.send(order).map_err(|_| gone())?;
    answered.recv().map_err(|_| gone())?
}

fn start() -> Option<Sender<Order>> {
    let (orders, received) = mpsc::channel::<Order>();
    let run = move || {
        for Order {
            mut command,
            answer,
        } in received
        {
            // The one who ordered waits; if that thread is gone, the child goes with the answer.
            drop(answer.send(command.spawn()));
        }
    };
    let thread = std::thread::Builder::new()
        .name("lab-spawner".to_owned())
        .spawn(run);
    thread.is_ok().then_some(orders)
}
