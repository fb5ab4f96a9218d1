//! A suite's run: its visits in an order drawn from a seed, as many whole repeats as there is time
//! for, and its files.
//!
//! ```text
//!   repeat:  for each ground in random order
//!              for each subject in random order      a visit: fresh network, subject, loads
//!   after each repeat: is there time for another?
//! ```
//!
//! A ratio is taken within one repeat, between visits that lie close together: the machine's slow
//! hours touch both sides alike.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, bail, ensure};
use clap::ValueEnum as _;

use super::bar::{Bar, minutes};
use super::chain::Ground;
use super::meter::{self, Meter, MeterFacts, check};
use super::net::Net;
use super::others::{DISTURBED, Others};
use super::relay::Workshop;
use super::results::{FORMAT, Results, SHARES, Sample};
use super::scene::{Load, Regime, Scene, Setting};
use super::session::{Take, Tools, Visit};
use super::stats::Random;
use super::subject::Subject;
use super::{calendar, chain, chosen, machine, probes, report, s2cs_for, seed_from_clock};
use crate::setup::Need;
use crate::workspace;

/// Descriptors that a run needs.
const DESCRIPTORS: u64 = 12_000;

/// Room on the disk that a run wants before it begins: its files are some megabytes.
const DISK_BYTES: u64 = 256 << 20;

/// Failed samples, and none that was taken, after which a run is given up.
const HOPELESS: usize = 12;

/// How long the machine is left alone to see what it does on its own.
const BACKGROUND_WINDOW: Duration = Duration::from_secs(1);

/// What a suite measures.
pub(super) trait Suite {
    /// Its name on the command line.
    fn name(&self) -> &'static str;

    /// Repeats, minutes and subjects when nobody asks for others.
    fn usual(&self, quick: bool) -> Usual;

    /// The visits of one repeat, grouped by ground: what is compared with each other.
    fn visits(&self, wanted: &Wanted) -> Vec<Vec<Visit>>;

    /// What a reader must know of its loads.
    fn settings(&self) -> Vec<String>;
}

/// What a suite does when nobody asks for anything else.
#[derive(Clone, Debug)]
pub(super) struct Usual {
    pub(super) repeats: usize,
    pub(super) minutes: u64,
    pub(super) subjects: Vec<Subject>,
    pub(super) nets: Vec<Net>,
    pub(super) regimes: Vec<Regime>,
}

/// What is to be measured.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) subjects: Vec<Subject>,
    pub(super) nets: Vec<Net>,
    pub(super) regimes: Vec<Regime>,
    /// Message sizes; the suite's own when empty.
    pub(super) sizes: Vec<u32>,
    /// Streams and connections; the suite's own when empty.
    pub(super) counts: Vec<u32>,
    /// Less of everything.
    pub(super) quick: bool,
    pub(super) seed: u64,
}

impl Wanted {
    /// A network to compare on.
    pub(super) fn ground(&self, regime: Regime, net: Net, setting: Setting) -> Ground {
        Ground {
            regime,
            net,
            setting,
            seed: self.seed,
        }
    }
}

/// The same for each of `subjects`: what is compared with each other.
pub(super) fn group(
    ground: Ground,
    subjects: &[Subject],
    loads: &[Load],
    duration: Duration,
) -> Vec<Visit> {
    let visit = |&subject: &Subject| Visit {
        ground,
        subject,
        loads: loads.to_vec(),
        duration,
    };
    subjects.iter().map(visit).collect()
}

/// What `suite` measures when nobody asks for anything else.
#[cfg(test)]
pub(super) fn usual_wanted(suite: &dyn Suite, quick: bool) -> Wanted {
    let usual = suite.usual(quick);
    Wanted {
        subjects: usual.subjects,
        nets: usual.nets,
        regimes: usual.regimes,
        sizes: Vec::new(),
        counts: Vec::new(),
        quick,
        seed: 1,
    }
}

/// A full run and a quick one of `suite` are planned to end in the minutes that it names.
#[cfg(test)]
pub(super) fn fits_into_its_time(suite: &dyn Suite) {
    for quick in [false, true] {
        let usual = suite.usual(quick);
        let visits = suite.visits(&usual_wanted(suite, quick));
        let repeat: Duration = visits.iter().flatten().map(Visit::nominal).sum();
        let all = repeat * u32::try_from(usual.repeats).unwrap();
        let limit = Duration::from_secs(usual.minutes * 60);
        assert!(all <= limit, "{quick}: {all:?} of {limit:?}");
    }
}

/// Arguments of `peers`, `fabric` and `scale`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct LabArgs {
    /// Fewer subjects, sizes and repeats: for a first look
    #[arg(long)]
    quick: bool,
    /// How often everything is measured, in a new order each time
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    repeats: Option<u16>,
    /// Begin no further repeat that would end later than this
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    minutes: Option<u64>,
    /// Only these subjects
    #[arg(long, value_enum, value_delimiter = ',')]
    subjects: Vec<Subject>,
    /// Only these networks
    #[arg(long, value_enum, value_delimiter = ',')]
    nets: Vec<Net>,
    /// Only these regimes
    #[arg(long, value_enum, value_delimiter = ',')]
    regimes: Vec<Regime>,
    /// Only messages of these sizes, bytes (512 to 1048576)
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u32).range(512..=1_048_576))]
    sizes: Vec<u32>,
    /// Only so many streams and connections (`scale`)
    #[arg(long, value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=50_000))]
    counts: Vec<u32>,
    /// Decides the order [default: the clock]
    #[arg(long)]
    seed: Option<u64>,
    /// How often a visit is made again when others used the machine meanwhile
    #[arg(long, default_value_t = 1)]
    retakes: u16,
    /// Say at the end what became better or worse than in this older run
    #[arg(long, value_name = "OLD.json")]
    compare: Option<PathBuf>,
    /// Also draw the page as a picture
    #[arg(long)]
    png: bool,
}

/// Runs a suite and writes its files.
///
/// Errors when something it needs is missing, a visit failed, or it is worse than an older run.
pub(super) fn run(suite: &impl Suite, args: LabArgs) -> Result<()> {
    let needs = [Need::Namespaces, Need::Rivals, Need::Traffic, Need::Tunnels];
    super::prepare(&needs, DESCRIPTORS)?;
    if let Some(older) = &args.compare {
        // Before the run: an hour later it would be too late to find that it cannot be read.
        Results::read(older)?;
    }
    let folder = workspace::target().join("bench");
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    ensure_room(&folder)?;
    let usual = suite.usual(args.quick);
    let wanted = wanted(&args, &usual);
    let workshop = Workshop::open(
        &folder,
        s2cs_for(&wanted.subjects)?,
        meter::online_cores()?.len(),
    )?;
    let meter = Meter::start()?;
    let mut results = begin(suite, &wanted, &workshop)?;
    results.repeats_asked = args.repeats.map_or(usual.repeats, usize::from);
    let limit = Duration::from_secs(args.minutes.unwrap_or(usual.minutes) * 60);
    let tools = Tools {
        workshop: &workshop,
        meter: &meter,
    };
    measure(suite, &wanted, (tools, args.retakes), (&mut results, limit))?;
    drop(meter);
    conclude(&results, &folder, &args)
}

fn wanted(args: &LabArgs, usual: &Usual) -> Wanted {
    let mut sizes = args.sizes.clone();
    sizes.sort_unstable();
    sizes.dedup();
    Wanted {
        subjects: chosen(args.subjects.clone(), &usual.subjects),
        nets: chosen(args.nets.clone(), &usual.nets),
        regimes: chosen(args.regimes.clone(), &usual.regimes),
        sizes,
        counts: args.counts.clone(),
        quick: args.quick,
        seed: args.seed.unwrap_or_else(seed_from_clock),
    }
}

fn ensure_room(folder: &std::path::Path) -> Result<()> {
    let disk = rustix::fs::statvfs(folder)
        .with_context(|| format!("cannot ask how full the disk of {} is", folder.display()))?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    ensure!(
        free >= DISK_BYTES,
        "the disk of {} has {} MB left and a run wants {}: make room first",
        folder.display(),
        free >> 20,
        DISK_BYTES >> 20
    );
    Ok(())
}

fn begin(suite: &impl Suite, wanted: &Wanted, workshop: &Workshop) -> Result<Results> {
    let facts = |&subject: &Subject| Ok((subject, workshop.facts(subject)?));
    let subjects: Result<BTreeMap<_, _>> = wanted.subjects.iter().map(facts).collect();
    Ok(Results {
        format: FORMAT,
        suite: suite.name().to_owned(),
        started: calendar::date_time(SystemTime::now()),
        minutes: 0.0,
        seed: wanted.seed,
        repeats: 0,
        repeats_asked: 0,
        settings: [chain::settings(), suite.settings()].concat(),
        machine: machine::Machine::look(meter::online_cores()?.len()),
        meter: MeterFacts::default(),
        subjects: subjects?,
        probes: probes::collect(workshop.s2cs().ok()),
        shares: SHARES.to_vec(),
        samples: Vec::new(),
    })
}

fn measure(
    suite: &impl Suite,
    wanted: &Wanted,
    (tools, retakes): (Tools<'_>, u16),
    (results, limit): (&mut Results, Duration),
) -> Result<()> {
    let started = Instant::now();
    let Results { meter: facts, .. } = results;
    facts.thresholds_ns = tools.meter.thresholds_ns();
    facts.checks = check::run(tools.meter)?;
    let mut random = Random::from_seed(wanted.seed);
    let groups = suite.visits(wanted);
    ensure!(
        groups.iter().any(|group| !group.is_empty()),
        "nothing to measure: no subject, network and regime of those asked for go together"
    );
    let one_repeat: Duration = groups.iter().flatten().map(Visit::nominal).sum();
    let all = one_repeat * u32::try_from(results.repeats_asked).unwrap_or(u32::MAX);
    eprintln!(
        "seed {}; {} at most, about {}",
        wanted.seed,
        minutes(limit),
        minutes(all)
    );
    let mut bar = Bar::begin(all.min(limit));
    for repeat in 0..results.repeats_asked {
        let begun = Instant::now();
        let rest = check::background(tools.meter, BACKGROUND_WINDOW)?;
        results.meter.background.push(rest);
        for mut visit in shuffled(groups.clone(), &mut random) {
            // Each repeat loses other packets, the same ones for every subject.
            visit.ground.seed = wanted.seed.wrapping_add(repeat as u64);
            bar.show(&format!("repeat {}, {}", repeat + 1, words(&visit)));
            let samples = take(&visit, tools, (repeat, retakes))?;
            samples
                .iter()
                .filter_map(|sample| sample.failure.as_ref())
                .take(1)
                .for_each(|why| {
                    bar.say(&format!("FAILED {}: {why}", words(&visit)));
                });
            results.samples.extend(samples);
            ensure_something_works(results)?;
            bar.advance(visit.nominal(), &words(&visit));
        }
        results.repeats = repeat + 1;
        if started.elapsed() + begun.elapsed() > limit {
            break;
        }
    }
    drop(bar);
    results.meter.checks.extend(check::run(tools.meter)?);
    results.minutes = started.elapsed().as_secs_f64() / 60.0;
    Ok(())
}

/// What fails for everyone at once is not the subjects' doing: an hour of it helps nobody.
fn ensure_something_works(results: &Results) -> Result<()> {
    let mut reasons = results.failures();
    let all_failed = results.failures().count() == results.samples.len();
    match reasons.next() {
        Some((_, why)) if all_failed && results.samples.len() >= HOPELESS => {
            bail!(
                "the first {} samples all failed, and so the run was given up: {why}",
                results.samples.len()
            )
        }
        Some(_) | None => Ok(()),
    }
}

/// Groups in random order, and each group's visits.
fn shuffled(mut groups: Vec<Vec<Visit>>, random: &mut Random) -> Vec<Visit> {
    random.shuffle(&mut groups);
    for group in &mut groups {
        random.shuffle(group);
    }
    groups.concat()
}

fn words(visit: &Visit) -> String {
    let (net, regime) = (visit.ground.net, visit.ground.regime);
    format!("{net}, {regime}, {}", visit.subject)
}

/// Makes a visit, again if others disturbed it, and keeps the least disturbed one. What decides is
/// only what others did, never what was measured.
fn take(visit: &Visit, tools: Tools<'_>, (repeat, retakes): (usize, u16)) -> Result<Vec<Sample>> {
    let mut best = take_once(visit, tools, repeat)?;
    for _ in 0..retakes {
        let others = |samples: &[Sample]| samples.first().map_or(0.0, |sample| sample.others);
        if others(&best) <= DISTURBED {
            break;
        }
        let again = take_once(visit, tools, repeat)?;
        if others(&again) < others(&best) {
            best = again;
        }
    }
    Ok(best)
}

/// A failure is recorded: the rest of a long run is worth having.
fn take_once(visit: &Visit, tools: Tools<'_>, repeat: usize) -> Result<Vec<Sample>> {
    let start = Others::read()?;
    let played = visit.play(tools);
    let others = Others::since(start)?;
    let sample = |load: Load, take: Take, failure: Option<String>| Sample {
        repeat,
        scene: Scene {
            regime: visit.ground.regime,
            net: visit.ground.net,
            setting: visit.ground.setting,
            load,
        },
        subject: visit.subject,
        others,
        measures: take.measures,
        spreads: take.spreads,
        limit: take.limit,
        failure,
    };
    Ok(match played {
        Ok(takes) => {
            let takes = takes.into_iter();
            takes.map(|(load, take)| sample(load, take, None)).collect()
        }
        Err(error) => {
            let why = format!("{error:#}");
            let loads = visit.loads.iter();
            loads
                .map(|&load| sample(load, Take::default(), Some(why.clone())))
                .collect()
        }
    })
}

fn conclude(results: &Results, folder: &std::path::Path, args: &LabArgs) -> Result<()> {
    let name = format!("{}-{}", results.suite, results.started.replace(':', ""));
    let base = folder.join(name);
    let page = report::write_all(results, &base)?;
    println!("{}", super::markdown::markdown(results));
    for extension in ["json", "md"] {
        println!("{}", base.with_extension(extension).display());
    }
    println!("{}", page.display());
    if args.png {
        println!("{}", report::draw(&page)?.display());
    }
    if let Some(older) = &args.compare {
        report::tell_changes(older, results)?;
    }
    match results.failures().count() {
        0 => Ok(()),
        failed => bail!(
            "{failed} of {} samples failed; they are listed above",
            results.samples.len()
        ),
    }
}

/// Every subject that `all` has of `some`, in the order of the tables.
pub(super) fn those(all: &[Subject], some: &[Subject]) -> Vec<Subject> {
    Subject::value_variants()
        .iter()
        .copied()
        .filter(|subject| all.contains(subject) && some.contains(subject))
        .collect()
}
