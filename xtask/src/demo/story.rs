//! What happens in the demo, in order, and what is noted on the way.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::cluster::Cluster;
use super::observer::{Instance, Observer};
use super::report::{Figures, Killing, LedgerFigures};
use crate::command::{pause, root, say};

/// At most this many instances are submitted until the leading master drives one of them.
const INSTANCES_MAX: usize = 10;
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// While a new leader is waited for.
const CLOSE_LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// Plays the whole story.
pub(super) fn tell(cluster: &mut Cluster, patience: Duration) -> Result<Figures, String> {
    Story::new(cluster, patience)?.play()
}

struct Story<'a> {
    cluster: &'a mut Cluster,
    observer: Observer,
    start: Instant,
    deadline: Instant,
    progress: ProgressBar,
    figures: Figures,
    /// Who was killed, and not yet seen on the dead list.
    unnoticed: BTreeMap<String, Instant>,
    /// Which instances were driven by a killed master, and not yet taken over.
    orphaned: BTreeMap<String, (String, Instant)>,
}

impl<'a> Story<'a> {
    fn new(cluster: &'a mut Cluster, patience: Duration) -> Result<Self, String> {
        let style = ProgressStyle::with_template("{elapsed_precise} [{bar:40}] {pos}/{len} tasks {msg}")
            .map_err(|error| error.to_string())?;
        let observer = Observer::new(cluster.page());
        let figures = Figures { backend: cluster.backend(), ..Figures::default() };
        let start = Instant::now();
        Ok(Self {
            cluster,
            observer,
            start,
            deadline: start + patience,
            progress: ProgressBar::new(0).with_style(style),
            figures,
            unnoticed: BTreeMap::new(),
            orphaned: BTreeMap::new(),
        })
    }

    fn play(mut self) -> Result<Figures, String> {
        self.wait_for_everybody()?;
        let instances = self.submit_until_the_leader_drives_one()?;
        self.run_until(&instances, 1, 3)?;
        self.kill_the_leader(&instances)?;
        self.run_until(&instances, 1, 2)?;
        self.kill_a_busy_worker(&instances)?;
        self.run_until(&instances, 1, 1)?;
        self.wait_until_all_deaths_are_noticed(&instances)?;
        self.judge(&instances)?;
        self.progress.finish_and_clear();
        Ok(self.figures)
    }

    fn wait_for_everybody(&mut self) -> Result<(), String> {
        self.wait_for("three masters, two workers and a leader", |story| {
            let masters = story.observer.masters().map_or(0, |masters| masters.len());
            let workers = story.observer.workers().map_or(0, |workers| workers.len());
            (masters == 3 && workers == 2 && story.observer.leader().is_some_and(|leader| leader.master.is_some()))
                .then_some(())
        })?;
        let leader = self.observer.leader().ok_or("the leader is gone again")?;
        self.note(&format!("everybody is there; {} leads in term {}", name_of(leader.master.as_ref()), leader.term));
        Ok(())
    }

    fn submit_until_the_leader_drives_one(&mut self) -> Result<Vec<String>, String> {
        let mut instances = Vec::new();
        while instances.len() < INSTANCES_MAX {
            let id = self.submit()?;
            instances.push(id.clone());
            let driver = self.wait_for("a driver of the new instance", |story| story.observer.instance(&id)?.driver)?;
            self.note(&format!("{id} was submitted and is driven by {driver}"));
            if self.observer.leader().and_then(|leader| leader.master) == Some(driver) {
                break;
            }
        }
        let tasks = self.look_at(&instances)?.iter().map(|instance| instance.tasks.len()).sum::<usize>();
        self.figures.tasks = tasks;
        self.progress.set_length(tasks as u64);
        Ok(instances)
    }

    fn submit(&self) -> Result<String, String> {
        let workflow = root().join("examples/scheduler/workflows/demo.toml");
        let output = self
            .cluster
            .scheduler(&["submit"])
            .arg(workflow)
            .arg("--config")
            .arg(self.cluster.client_config_file())
            .stderr(Stdio::piped())
            .output()
            .map_err(|error| format!("cannot submit: {error}"))?;
        if !output.status.success() {
            return Err(format!("cannot submit: {}", String::from_utf8_lossy(&output.stderr).trim()));
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    fn kill_the_leader(&mut self, instances: &[String]) -> Result<(), String> {
        let before =
            self.wait_for("a leader", |story| story.observer.leader().filter(|leader| leader.master.is_some()))?;
        let victim = before.master.clone().unwrap_or_default();
        for instance in
            self.look_at(instances)?.into_iter().filter(|instance| instance.driver.as_ref() == Some(&victim))
        {
            self.orphaned.insert(instance.id, (victim.clone(), Instant::now()));
        }
        self.cluster.kill(&victim)?;
        let killed = Instant::now();
        self.unnoticed.insert(victim.clone(), killed);
        self.note(&format!("killed -9: {victim}, the leader"));
        let after = loop {
            match self.observer.leader() {
                Some(leader) if leader.follows(&before) => break leader,
                _ => self.check_time("a new leader")?,
            }
            pause(CLOSE_LOOK_INTERVAL);
        };
        let elected = killed.elapsed();
        self.figures.killed.push(Killing {
            name: victim,
            leader_elected_ms: Some(millis(elected)),
            ..Killing::default()
        });
        self.note(&format!(
            "{} leads in term {}, {} ms after the kill",
            name_of(after.master.as_ref()),
            after.term,
            millis(elected)
        ));
        Ok(())
    }

    fn kill_a_busy_worker(&mut self, instances: &[String]) -> Result<(), String> {
        let victim = self.wait_for("a worker with running tasks", |story| {
            let workers = story.observer.workers()?;
            workers.into_iter().filter(|worker| worker.report.running > 0).max_by_key(|worker| worker.report.running)
        })?;
        self.cluster.kill(&victim.name)?;
        self.unnoticed.insert(victim.name.clone(), Instant::now());
        self.note(&format!("killed -9: {}, which ran {} tasks", victim.name, victim.report.running));
        self.figures.killed.push(Killing { name: victim.name, ..Killing::default() });
        self.look_at(instances).map(drop)
    }

    /// Goes on until `share` of `whole` of the tasks have succeeded.
    fn run_until(&mut self, instances: &[String], share: usize, whole: usize) -> Result<(), String> {
        loop {
            let seen = self.look_at(instances)?;
            let done = succeeded(&seen);
            self.progress.set_position(done as u64);
            if let Some(instance) =
                seen.iter().find(|instance| matches!(instance.state.as_str(), "failed" | "cancelled"))
            {
                return Err(format!("{} ended as {}", instance.id, instance.state));
            }
            if done * whole >= self.figures.tasks * share {
                self.note(&format!("{done} of {} tasks are done", self.figures.tasks));
                return Ok(());
            }
            self.check_time("the tasks to be done")?;
            pause(LOOK_INTERVAL);
        }
    }

    fn wait_until_all_deaths_are_noticed(&mut self, instances: &[String]) -> Result<(), String> {
        while !self.unnoticed.is_empty() {
            self.look_at(instances)?;
            self.check_time("the dead to be noticed")?;
            pause(LOOK_INTERVAL);
        }
        self.wait_for("the instances to end", |story| {
            let seen: Option<Vec<_>> = instances.iter().map(|id| story.observer.instance(id)).collect();
            seen?.iter().all(|instance| instance.state == "succeeded").then_some(())
        })
    }

    /// One look at all instances, at the dead list and at who drives the orphans. What was killed is looked for in between:
    /// on a busy machine a look at many instances takes seconds.
    fn look_at(&mut self, instances: &[String]) -> Result<Vec<Instance>, String> {
        let mut seen = Vec::new();
        for id in instances {
            self.note_the_dead();
            let instance = self.wait_for("an answer of the API server", |story| story.observer.instance(id))?;
            self.note_take_over(&instance);
            seen.push(instance);
        }
        self.note_the_dead();
        Ok(seen)
    }

    fn note_the_dead(&mut self) {
        if self.unnoticed.is_empty() {
            return;
        }
        for dead in self.observer.dead().unwrap_or_default() {
            if let Some(killed) = self.unnoticed.remove(&dead.name) {
                let noticed = millis(killed.elapsed());
                self.note(&format!(
                    "{} noticed that {} is dead after {noticed} ms: {}",
                    dead.noticed_by, dead.name, dead.reason
                ));
                if let Some(killing) = self.figures.killed.iter_mut().find(|killing| killing.name == dead.name) {
                    killing.noticed_ms = Some(noticed);
                }
            }
        }
    }

    fn note_take_over(&mut self, instance: &Instance) {
        let Some((former, killed)) = self.orphaned.get(&instance.id).cloned() else { return };
        let Some(driver) = instance.driver.clone().filter(|driver| *driver != former) else { return };
        let taken_over = millis(killed.elapsed());
        self.note(&format!("{} was taken over by {driver}, {taken_over} ms after {former} was killed", instance.id));
        if let Some(killing) = self.figures.killed.iter_mut().find(|killing| killing.name == former) {
            killing.taken_over_by = Some(driver);
            killing.taken_over_ms = Some(taken_over);
        }
        self.orphaned.remove(&instance.id);
    }

    fn judge(&mut self, instances: &[String]) -> Result<(), String> {
        let seen = self.look_at(instances)?;
        let tasks: Vec<_> = seen.iter().flat_map(|instance| &instance.tasks).collect();
        self.figures.accepted_once = tasks.iter().filter(|task| task.accepted == 1).count();
        let wrong = tasks.iter().filter(|task| task.accepted != 1 || task.state != "succeeded");
        self.figures.wrong =
            wrong.map(|task| format!("{}: {}, accepted {} times", task.id, task.state, task.accepted)).collect();
        self.figures.repeated_tasks = tasks.iter().filter(|task| task.attempts.len() > 1).count();
        self.figures.lost_attempts = tasks
            .iter()
            .flat_map(|task| &task.attempts)
            .filter(|attempt| attempt.state == "lost" && !attempt.worker.is_empty())
            .count();
        self.figures.ledger = self.check_ledger()?;
        Ok(())
    }

    fn check_ledger(&self) -> Result<LedgerFigures, String> {
        let expected = self.figures.tasks.to_string();
        let output = self
            .cluster
            .scheduler(&["ledger", "check", "--json", "--expect", &expected, "--file"])
            .arg(self.cluster.ledger())
            .output()
            .map_err(|error| format!("cannot check the ledger: {error}"))?;
        serde_json::from_slice(&output.stdout).map_err(|_not_json| {
            format!("the ledger cannot be checked: {}", String::from_utf8_lossy(&output.stderr).trim())
        })
    }

    fn wait_for<T>(&mut self, what: &str, mut look: impl FnMut(&mut Self) -> Option<T>) -> Result<T, String> {
        loop {
            if let Some(found) = look(self) {
                return Ok(found);
            }
            self.check_time(what)?;
            pause(LOOK_INTERVAL);
        }
    }

    fn check_time(&mut self, what: &str) -> Result<(), String> {
        self.cluster.check_alive()?;
        if Instant::now() < self.deadline { Ok(()) } else { Err(format!("waited too long for {what}")) }
    }

    fn note(&mut self, what: &str) {
        let at = self.start.elapsed().as_secs_f64();
        self.progress.suspend(|| say(&format!("{at:7.2} s  {what}")));
    }
}

fn succeeded(instances: &[Instance]) -> usize {
    instances.iter().flat_map(|instance| &instance.tasks).filter(|task| task.state == "succeeded").count()
}

fn name_of(name: Option<&String>) -> &str {
    name.map_or("an unnamed master", String::as_str)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
