//! Calls to systemd over D-Bus: org.freedesktop.systemd1(5).
//!
//! Each piece of work has a connection of its own, on a thread of its own that ends with it: nothing of it is left in the
//! calling program, and whatever executor that runs its threads on has no part in it.

use std::future::poll_fn;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;
use std::{env, fmt, fs, thread};

use futures_core::Stream;
use zbus::connection::Builder;
use zbus::message::{Message, Type};
use zbus::wire::{DynamicType, OwnedObjectPath, Variant};
use zbus::{Connection, MatchRule, MessageStream};

use super::host::Manager;
use super::property::Property;

/// How long systemd may take to answer, and again to be done with a job.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often a bus is tried whose queue of connections is full, and how long after the first try comes the second.
const ATTEMPTS: u32 = 7;
const FIRST_PAUSE: Duration = Duration::from_millis(100);

const SERVICE: &str = "org.freedesktop.systemd1";
const OBJECT: &str = "/org/freedesktop/systemd1";
const INTERFACE: &str = "org.freedesktop.systemd1.Manager";

/// Where systemd listens itself, for root alone: on a host without a message bus.
const PRIVATE: &str = "unix:path=/run/systemd/private";

const NO_SESSION: &str = "there is no session bus: neither DBUS_SESSION_BUS_ADDRESS nor XDG_RUNTIME_DIR leads to one \
                          (rootless containers need a user manager: package dbus-user-session, and a login session or \
                          `loginctl enable-linger`)";

pub(super) type Result<T> = std::result::Result<T, BusError>;

/// Why a call failed.
#[derive(Debug)]
pub(super) enum BusError {
    /// systemd refused: the error's name on the bus, and what it says.
    Refused(String, String),
    /// The job that a call started did not end well.
    Job {
        unit: String,
        result: String,
    },
    /// It took longer than [`PATIENCE`].
    Late(String),
    Other(String),
}

impl BusError {
    /// Whether systemd gave the error of this name, without `org.freedesktop.systemd1.`.
    pub(super) fn is(&self, name: &str) -> bool {
        let BusError::Refused(full, _) = self else {
            return false;
        };
        full.strip_prefix(SERVICE)
            .and_then(|rest| rest.strip_prefix('.'))
            == Some(name)
    }
}

impl fmt::Display for BusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BusError::Refused(name, text) => write!(f, "{text} ({name})"),
            BusError::Job { unit, result } => {
                write!(f, "systemd's job for unit {unit} ended with {result:?}")
            }
            BusError::Late(what) => {
                write!(f, "no answer within {} s to {what}", PATIENCE.as_secs())
            }
            BusError::Other(text) => f.write_str(text),
        }
    }
}

impl From<zbus::Error> for BusError {
    fn from(error: zbus::Error) -> Self {
        match &error {
            zbus::Error::MethodError(name, text, _) => {
                BusError::Refused(name.to_string(), text.clone().unwrap_or_default())
            }
            zbus::Error::FDO(error) => BusError::Other(error.to_string()),
            _ => BusError::Other(error.to_string()),
        }
    }
}

/// A connection to a manager.
pub(super) struct Bus {
    connection: Connection,
}

/// Does the work with a connection to this manager.
pub(super) fn with<T: Send>(
    manager: Manager,
    work: impl AsyncFnOnce(&Bus) -> Result<T> + Send,
) -> Result<T> {
    let whole = || {
        zruntime::block_on(async {
            let bus = Bus::connect(manager).await?;
            let done = work(&bus).await;
            bus.connection.graceful_shutdown().await;
            done
        })
    };
    thread::scope(|scope| {
        let worker = thread::Builder::new().name("systemd".to_owned());
        let worker = worker.spawn_scoped(scope, whole);
        let worker = worker.map_err(|error| BusError::Other(format!("start a thread: {error}")))?;
        let ended = worker.join();
        ended.map_err(|_| BusError::Other("the thread that talks to systemd ended".to_owned()))?
    })
}

impl Bus {
    async fn connect(manager: Manager) -> Result<Bus> {
        let connection = match manager {
            Manager::System => match connect(Builder::system).await {
                Ok(connection) => connection,
                Err(error) => {
                    let direct = connect(|| Builder::address(PRIVATE).p2p()).await;
                    direct.map_err(|_| unreachable("the system bus", &error))?
                }
            },
            Manager::User => {
                let address = session_address()?;
                let user = user_on_the_bus();
                let session = || Builder::address(address.as_str()).user_id(user);
                let connection = connect(session).await;
                connection
                    .map_err(|error| unreachable(&format!("the session bus {address}"), &error))?
            }
        };
        Ok(Bus { connection })
    }

    async fn call<B: serde::Serialize + DynamicType>(
        &self,
        method: &'static str,
        body: &B,
    ) -> Result<Message> {
        self.call_on(INTERFACE, method, body).await
    }

    async fn call_on<B: serde::Serialize + DynamicType>(
        &self,
        interface: &'static str,
        method: &'static str,
        body: &B,
    ) -> Result<Message> {
        let call =
            self.connection
                .call_method(Some(SERVICE), OBJECT, Some(interface), method, body);
        match call.await {
            Err(zbus::Error::InputOutput(error)) if error.kind() == io::ErrorKind::TimedOut => {
                Err(BusError::Late(format!("the call of {method}")))
            }
            answer => Ok(answer?),
        }
    }

    /// A property of the manager's that is a string.
    pub(super) async fn manager_property(&self, name: &str) -> Result<String> {
        let interface = "org.freedesktop.DBus.Properties";
        let answer = self.call_on(interface, "Get", &(INTERFACE, name)).await?;
        let body = answer.body();
        match body.deserialize()? {
            Variant::Str(text) => Ok(text.as_str().to_owned()),
            other => Err(BusError::Other(format!("{name} is not text: {other:?}"))),
        }
    }

    /// Starts a transient unit, and waits until it is there.
    pub(super) async fn start_unit(
        &self,
        name: &str,
        properties: &[Property],
        pid: Option<u32>,
    ) -> Result<()> {
        let mut properties = sent(properties)?;
        if let Some(pid) = pid {
            properties.push(("PIDs".to_owned(), Variant::new(vec![pid])));
        }
        // Units that come with it: none.
        let auxiliary: Vec<(String, Vec<(String, Variant<'_>)>)> = Vec::new();
        let body = (name, "replace", properties, auxiliary);
        self.job(name, "StartTransientUnit", &body).await
    }

    /// Stops a unit, and waits until it is gone.
    pub(super) async fn stop_unit(&self, name: &str) -> Result<()> {
        self.job(name, "StopUnit", &(name, "replace")).await
    }

    /// Makes systemd forget that a unit has failed, and with that the unit, unless it is needed.
    pub(super) async fn reset_failed(&self, name: &str) -> Result<()> {
        self.call("ResetFailedUnit", &name).await.map(drop)
    }

    /// Changes properties of a unit, until it is gone.
    pub(super) async fn set_properties(&self, name: &str, properties: &[Property]) -> Result<()> {
        let body = (name, true, sent(properties)?);
        self.call("SetUnitProperties", &body).await.map(drop)
    }

    /// Moves a process into a unit's cgroup, or into one below it, whose path begins with a slash.
    pub(super) async fn attach(&self, name: &str, below: &str, pid: u32) -> Result<()> {
        let body = (name, below, vec![pid]);
        self.call("AttachProcessesToUnit", &body).await.map(drop)
    }

    /// Calls what starts a job for a unit, and waits for its end.
    async fn job<B: serde::Serialize + DynamicType>(
        &self,
        unit: &str,
        method: &'static str,
        body: &B,
    ) -> Result<()> {
        let rule = MatchRule::builder()
            .msg_type(Type::Signal)
            .interface(INTERFACE)
            .member("JobRemoved")
            .arg(2, unit)
            .build()?;
        // Before the call, so that no answer is too fast.
        let mut removed = MessageStream::for_match_rule(rule, &self.connection, None).await?;
        let answer = self.call(method, body).await?;
        let job: OwnedObjectPath = answer.body().deserialize()?;
        let end = async {
            loop {
                let Some(message) = next(&mut removed).await.transpose()? else {
                    let problem = format!("systemd hung up during its job for unit {unit}");
                    return Err(BusError::Other(problem));
                };
                let body = message.body();
                let (_, ended, _, result): (u32, OwnedObjectPath, String, String) =
                    body.deserialize()?;
                if ended == job {
                    return Ok(result);
                }
            }
        };
        let runtime = zruntime::SharedRuntime::current();
        let runtime = runtime.map_err(|error| BusError::Other(error.to_string()))?;
        let late = |_| BusError::Late(format!("the job of {method} for unit {unit}"));
        let result = runtime.timeout(PATIENCE, end).await.map_err(late)??;
        match result.as_str() {
            "done" => Ok(()),
            _ => Err(BusError::Job {
                unit: unit.to_owned(),
                result,
            }),
        }
    }
}

async fn next(stream: &mut MessageStream) -> Option<zbus::Result<Message>> {
    poll_fn(|context| Pin::new(&mut *stream).poll_next(context)).await
}

fn sent(properties: &[Property]) -> Result<Vec<(String, Variant<'static>)>> {
    let sent = |property: &Property| {
        let value = property.value.to_wire();
        let value = value.map_err(|error| BusError::Other(format!("{property}: {error}")))?;
        Ok((property.name().to_owned(), value))
    };
    properties.iter().map(sent).collect()
}

/// Connects, and tries again while too many others do.
async fn connect<'a>(builder: impl Fn() -> Builder<'a>) -> zbus::Result<Connection> {
    let mut pause = FIRST_PAUSE;
    for _ in 1..ATTEMPTS {
        match builder().method_timeout(PATIENCE).build().await {
            Err(zbus::Error::InputOutput(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                thread::sleep(pause);
                pause *= 2;
            }
            answer => return answer,
        }
    }
    builder().method_timeout(PATIENCE).build().await
}

fn unreachable(what: &str, error: &zbus::Error) -> BusError {
    BusError::Other(format!("connect to {what}: {error}"))
}

fn session_address() -> Result<String> {
    let set = |name| {
        env::var(name)
            .ok()
            .filter(|value: &String| !value.is_empty())
    };
    if let Some(address) = set("DBUS_SESSION_BUS_ADDRESS") {
        return Ok(address);
    }
    let socket = set("XDG_RUNTIME_DIR").map(|directory| Path::new(&directory).join("bus"));
    match socket.filter(|socket| socket.exists()) {
        Some(socket) => Ok(format!("unix:path={}", escaped(&socket))),
        None => Err(BusError::Other(NO_SESSION.to_owned())),
    }
}

/// The D-Bus specification, "Server Addresses": what is not optionally-escaped has to be escaped.
fn escaped(path: &Path) -> String {
    let bytes = path.as_os_str().as_encoded_bytes().iter();
    bytes.fold(String::new(), |mut text, &byte| {
        match byte {
            b'-' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'_' | b'/' | b'.' | b'\\' | b'*' => {
                text.push(byte.into());
            }
            byte => text.push_str(&format!("%{byte:02x}")),
        }
        text
    })
}

/// The user whom the bus sees: outside of a user namespace that has another name for him.
fn user_on_the_bus() -> u32 {
    let own = rustix::process::geteuid().as_raw();
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    outside(&map, own).unwrap_or(own)
}

/// What a uid_map (user_namespaces(7)) makes of an id.
fn outside(map: &str, id: u32) -> Option<u32> {
    map.lines().find_map(|line| {
        let mut fields = line.split_whitespace().map(str::parse::<u32>);
        let (inside, outside, count) = (
            fields.next()?.ok()?,
            fields.next()?.ok()?,
            fields.next()?.ok()?,
        );
        let offset = id.checked_sub(inside).filter(|offset| *offset < count)?;
        outside.checked_add(offset)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bus_knows_a_user_by_his_name_outside_of_his_namespace() {
        assert_eq!(
            outside("         0          0 4294967295\n", 1000),
            Some(1000)
        );
        let map = "0 1000 1\n1 100000 65536\n";
        assert_eq!(outside(map, 0), Some(1000));
        assert_eq!(outside(map, 5), Some(100_004));
        assert_eq!(outside(map, 70_000), None);
        assert_eq!(outside("", 0), None);
        assert_eq!(outside("x", 0), None);
    }

    #[test]
    fn a_path_in_an_address_is_escaped() {
        assert_eq!(
            escaped(Path::new("/run/user/1000/bus")),
            "/run/user/1000/bus"
        );
        assert_eq!(escaped(Path::new("/a b,c")), "/a%20b%2cc");
    }

    #[test]
    fn an_error_says_what_systemd_says() {
        let exists = BusError::Refused(
            "org.freedesktop.systemd1.UnitExists".to_owned(),
            "Unit a.scope already exists.".to_owned(),
        );
        assert!(exists.is("UnitExists") && !exists.is("NoSuchUnit"));
        assert_eq!(
            exists.to_string(),
            "Unit a.scope already exists. (org.freedesktop.systemd1.UnitExists)"
        );
        let job = BusError::Job {
            unit: "a.scope".to_owned(),
            result: "failed".to_owned(),
        };
        assert_eq!(
            job.to_string(),
            "systemd's job for unit a.scope ended with \"failed\""
        );
    }
}
