//! The harness's end of a disk.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::net::UnixStream as Socket;
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::rules::{Met, Rule};
use super::wire::{Command, Lost, Report};
use crate::space::Where;

/// How long it may take to mount, or to obey.
const WITHIN: Duration = Duration::from_secs(10);

/// Why a disk does not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// This machine cannot have one.
    #[error("a faulty disk cannot be mounted here: {0}")]
    Unavailable(String),
    /// It is gone, or does not answer.
    #[error("the disk of the node does not answer: {0}")]
    Gone(io::Error),
    /// It tried.
    #[error("the disk of the node: {0}")]
    Failed(String),
}

/// A disk that is mounted. It is unmounted when this is dropped.
#[derive(Debug)]
pub struct Disk {
    conversation: Mutex<Conversation>,
    failed: watch::Receiver<Option<u64>>,
    reader: JoinHandle<()>,
    spaces: Vec<PathBuf>,
}

#[derive(Debug)]
struct Conversation {
    commands: OwnedWriteHalf,
    answers: mpsc::UnboundedReceiver<Report>,
    /// Those in force.
    rules: BTreeMap<u64, Rule>,
}

impl Conversation {
    async fn ask(&mut self, command: &Command) -> Result<Report, DiskError> {
        let mut line = serde_json::to_vec(command).map_err(|e| DiskError::Gone(e.into()))?;
        line.push(b'\n');
        self.commands
            .write_all(&line)
            .await
            .map_err(DiskError::Gone)?;
        match timeout(WITHIN, self.answers.recv()).await {
            Ok(Some(report)) => Ok(report),
            Ok(None) => Err(gone()),
            Err(_) => Err(late()),
        }
    }
}

impl Disk {
    /// Takes up the conversation with a disk that is being started at the other end of the socket.
    /// Call it inside a tokio runtime.
    ///
    /// # Errors
    /// If it cannot be mounted here, or does not come up in time.
    pub async fn attach(socket: Socket) -> Result<Self, DiskError> {
        socket.set_nonblocking(true).map_err(DiskError::Gone)?;
        let socket = UnixStream::from_std(socket).map_err(DiskError::Gone)?;
        let (reports, commands) = socket.into_split();
        let (sender, mut answers) = mpsc::unbounded_channel();
        let (power, failed) = watch::channel(None);
        let reader = tokio::spawn(async move {
            let mut lines = BufReader::new(reports).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                match serde_json::from_str(&line) {
                    Ok(Report::PowerFailed(rule)) => drop(power.send_replace(Some(rule))),
                    Ok(report) => drop(sender.send(report)),
                    Err(error) => drop(sender.send(Report::Failed(error.to_string()))),
                }
            }
        });
        let spaces = match timeout(WITHIN, answers.recv()).await {
            Ok(Some(Report::Ready { pid, user })) => {
                let space = |kind: &str| PathBuf::from(format!("/proc/{pid}/ns/{kind}"));
                let user = user.then(|| space("user"));
                user.into_iter().chain([space("mnt")]).collect()
            }
            Ok(Some(Report::Unavailable(why))) => return Err(DiskError::Unavailable(why)),
            Ok(Some(report)) => return Err(DiskError::Failed(format!("it says {report:?}"))),
            Ok(None) => return Err(gone()),
            Err(_) => return Err(late()),
        };
        Ok(Self {
            conversation: Mutex::new(Conversation {
                commands,
                answers,
                rules: BTreeMap::new(),
            }),
            failed,
            reader,
            spaces,
        })
    }

    /// Where a process must be started to see it.
    #[must_use]
    pub fn place(&self) -> Where {
        Where {
            spaces: self.spaces.clone(),
        }
    }

    /// These rules are in force from now on, by numbers of the caller's choice; one that stays
    /// the same goes on counting.
    ///
    /// # Errors
    /// If the disk does not confirm it.
    pub async fn set(&self, rules: BTreeMap<u64, Rule>) -> Result<(), DiskError> {
        let mut conversation = self.conversation.lock().await;
        if conversation.rules == rules {
            return Ok(());
        }
        match conversation.ask(&Command::Set(rules.clone())).await? {
            Report::Done => {
                conversation.rules = rules;
                Ok(())
            }
            report => Err(strange(report)),
        }
    }

    /// How often each rule was met since it came into force.
    ///
    /// # Errors
    /// If the disk does not answer.
    pub async fn met(&self) -> Result<BTreeMap<u64, Met>, DiskError> {
        match self.ask(&Command::Met).await? {
            Report::Met(met) => Ok(met),
            report => Err(strange(report)),
        }
    }

    /// Lets every call fail at once, so that a process that was killed can die: one that waits for
    /// its disk cannot.
    ///
    /// # Errors
    /// If the disk does not answer.
    pub async fn release(&self) -> Result<(), DiskError> {
        match self.ask(&Command::Release).await? {
            Report::Done => Ok(()),
            report => Err(strange(report)),
        }
    }

    /// Serves again after a release, for a process that is about to be started. Nobody may use the
    /// disk now. If the power has failed, what was not synced is lost first.
    ///
    /// # Errors
    /// If the disk does not answer, or what is below it cannot be changed.
    pub async fn reopen(&self, lose: bool) -> Result<Lost, DiskError> {
        match self.ask(&Command::Reopen { lose }).await? {
            Report::Lost(lost) => Ok(lost),
            Report::Failed(why) => Err(DiskError::Failed(why)),
            report => Err(strange(report)),
        }
    }

    /// Resolves when the power has failed by this rule; never if it does not. The disk answers
    /// nothing from then on.
    pub fn power_failed(&self, rule: u64) -> impl Future<Output = ()> + use<> {
        let mut failed = self.failed.clone();
        async move {
            if failed.wait_for(|by| *by == Some(rule)).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    async fn ask(&self, command: &Command) -> Result<Report, DiskError> {
        self.conversation.lock().await.ask(command).await
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

fn gone() -> DiskError {
    DiskError::Gone(io::Error::other("its process has ended"))
}

fn late() -> DiskError {
    DiskError::Gone(io::Error::new(io::ErrorKind::TimedOut, "not in time"))
}

fn strange(report: Report) -> DiskError {
    match report {
        Report::Failed(why) | Report::Unavailable(why) => DiskError::Failed(why),
        report => DiskError::Failed(format!("it says {report:?}")),
    }
}
