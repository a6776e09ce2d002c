//! The project's commands: `cargo xtask --help`.
//!
//! Thin: each command runs other programs, and those over the state machines ([`asl`]) call the
//! library that they are made of. The only things made here are the lists of what the crates make
//! public ([`public_api`]).

mod asl;
mod binaries;
mod book;
mod circles;
mod lint;
mod npm;
mod public_api;
mod python;
mod reproduce;
mod source;
mod workspace;

use anyhow::{Context as _, ensure};
use clap::Parser;
use std::collections::BTreeMap;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use workspace::{in_ci, repository};
use xshell::{Shell, cmd};

/// The project's commands.
#[derive(Parser)]
#[command(name = "xtask", bin_name = "cargo xtask")]
enum Xtask {
    /// Run the whole of Slowlane on this machine: no AWS account, no Docker
    ///
    /// Builds the Lambdas, installs a local AWS server under target/, deploys the template and
    /// pushes orders through a limited API. `cargo xtask demo --help` lists what can be varied.
    #[command(disable_help_flag = true)]
    Demo(Passed),
    /// Make what `slowlane demo` needs, and print where it is, as JSON
    #[command(hide = true)]
    Tools,
    /// Run all tests, those on the local AWS server too
    ///
    /// With cargo-nextest if it is installed, else with cargo test.
    Test(Passed),
    /// Check all that the repository holds and run all tests, whichever fail
    Ci,
    /// Run the enqueuer and the worker on a simulated cloud, in virtual time
    ///
    /// `cargo xtask simulate --help` lists what can be varied: a scenario from a file, its seed, or
    /// random scenarios in which everything goes wrong.
    #[command(disable_help_flag = true)]
    Simulate(Passed),
    /// Compare the ways of dispatch on the simulated cloud, and check what the default promises
    ///
    /// `cargo xtask bench --help` lists what can be varied.
    #[command(disable_help_flag = true)]
    Bench(Passed),
    /// Build the release binaries of the Lambdas
    Build,
    /// Build, check and draw state machines: those in state-machines, and your own
    Asl(asl::Asl),
    /// Write what is derived into infra/template.yaml: numbers, alarms, dashboard; and the runbooks' index
    Template,
    /// Write the JSON Schemas of the messages
    Schema {
        /// Change nothing; fail if a checked-in schema is not what the types say
        #[arg(long)]
        check: bool,
    },
    /// Write the public API of the crates that others build on
    PublicApi {
        /// Change nothing; fail if a checked-in API is not what the sources say
        #[arg(long)]
        check: bool,
    },
    /// Write what CloudFormation asks of AWS for the templates: infra/permissions/handlers.json
    Permissions {
        /// Change nothing; fail if the checked-in list is not what the schemas say
        #[arg(long)]
        check: bool,
    },
    /// Make one site of all pages, with a search: target/book. Fails if a link leads nowhere
    Book,
    /// Build the Lambdas of the last commit in two directories, and compare their hashes
    ///
    /// Takes two release builds: a quarter of an hour on two cores.
    Reproduce,
    /// Build the Lambdas, and measure their packages and how long they take to start
    ///
    /// Fails beyond 4 MB or 10 ms. `cargo xtask startup --help` lists what can be varied.
    #[command(disable_help_flag = true)]
    Startup(Passed),
    /// Run `slowlane`, the command line of those who run Slowlane, as it stands in this repository
    ///
    /// `cargo xtask slowlane --help` lists its commands.
    #[command(disable_help_flag = true)]
    Slowlane(Passed),
    /// Build the Lambdas, and deploy them: `slowlane deploy`
    #[command(disable_help_flag = true)]
    Deploy(Passed),
    /// Build its Lambdas, and deploy a stack beside Slowlane's own: `slowlane add`
    #[command(disable_help_flag = true)]
    Add(Passed),
    /// Delete what was deployed, after a question: `slowlane destroy`
    #[command(disable_help_flag = true)]
    Destroy(Passed),
    /// Show how many calls wait, and what holds them up: `slowlane status`
    #[command(disable_help_flag = true)]
    Status(Passed),
    /// Find one call: `slowlane calls find`
    #[command(disable_help_flag = true)]
    Call(Passed),
    /// The calls that could not be run: `slowlane calls dead-letters`
    #[command(disable_help_flag = true)]
    DeadLetters(Passed),
    /// The calls of which nobody knows whether they were executed: `slowlane calls unresolved`
    #[command(disable_help_flag = true)]
    Unresolved(Passed),
}

/// Arguments for the program that the command runs.
#[derive(clap::Args)]
struct Passed {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

impl Passed {
    fn ask_for_help(&self) -> bool {
        self.args.iter().any(|arg| arg == "--help" || arg == "-h")
    }

    /// Whether the demo is asked for this scenario.
    fn show(&self, scenario: &str) -> bool {
        self.args.iter().any(|arg| arg == scenario || *arg == format!("--scenario={scenario}"))
    }

    /// Whether the program is given this option, as `--name VALUE` or `--name=VALUE`.
    fn give(&self, option: &str) -> bool {
        let is_it = |arg: &String| {
            arg.strip_prefix(option).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
        };
        self.args.iter().any(is_it)
    }
}

fn main() -> ExitCode {
    match run(Xtask::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Xtask) -> anyhow::Result<()> {
    let sh = Shell::new()?;
    sh.change_dir(repository());
    match command {
        Xtask::Demo(passed) => demo(&sh, &passed),
        Xtask::Tools => print_tools(&sh),
        Xtask::Test(passed) => test(&sh, &passed.args),
        Xtask::Ci => ci(&sh),
        Xtask::Simulate(passed) => simulator(&sh, "simulate", &passed),
        Xtask::Bench(passed) => simulator(&sh, "bench", &passed),
        Xtask::Build => {
            let lambdas = binaries::release(&sh, &binaries::LAMBDAS)?;
            eprintln!("the Lambdas are in {}", lambdas.display());
            Ok(())
        }
        Xtask::Asl(command) => asl::run(&sh, repository(), &command),
        Xtask::Template => {
            let test = cmd!(
                sh,
                "cargo test --quiet --profile local --package slowlane-deployer --test template"
            );
            Ok(test.env("UPDATE_TEMPLATE", "1").run()?)
        }
        Xtask::Schema { check } => lint::schema(&sh, check),
        Xtask::PublicApi { check } => public_api::run(repository(), check),
        Xtask::Permissions { check } => lint::permissions(&sh, &python::checks(&sh)?, check),
        Xtask::Book => lint::book(&sh, &python::checks(&sh)?),
        Xtask::Reproduce => reproduce::run(&sh),
        Xtask::Startup(passed) => startup(&sh, &passed),
        Xtask::Slowlane(passed) => slowlane(&sh, &[], &passed.args),
        Xtask::Deploy(passed) => deploy(&sh, &passed),
        Xtask::Add(passed) => add(&sh, &passed),
        Xtask::Destroy(passed) => slowlane(&sh, &["destroy"], &passed.args),
        Xtask::Status(passed) => slowlane(&sh, &["status"], &passed.args),
        Xtask::Call(passed) => slowlane(&sh, &["calls", "find"], &passed.args),
        Xtask::DeadLetters(passed) => slowlane(&sh, &["calls", "dead-letters"], &passed.args),
        Xtask::Unresolved(passed) => slowlane(&sh, &["calls", "unresolved"], &passed.args),
    }
}

fn demo(sh: &Shell, passed: &Passed) -> anyhow::Result<()> {
    if passed.ask_for_help() {
        let local = binaries::demo(sh)?.join("slowlane-local");
        return become_program(Command::new(local).arg("demo").args(&passed.args));
    }
    // Python first: what is missing there shows before minutes of building.
    let python = python::local_aws(sh)?;
    let bullmq = passed.show("peers").then(|| npm::bullmq(sh)).transpose()?;
    // Of other APIs than NetSuite.
    let vendors = passed.give("--target") || passed.show("reviews") || bullmq.is_some();
    let binaries = match vendors || passed.show("cascade") {
        true => binaries::demos(sh)?,
        false => binaries::demo(sh)?,
    };
    let mut demo = Command::new(binaries.join("slowlane-local"));
    demo.arg("demo").args(&passed.args).envs(tools(&binaries, &python));
    demo.envs(bullmq.map(|directory| ("SLOWLANE_BULLMQ", directory)));
    become_program(&mut demo)
}

#[expect(clippy::print_stdout, reason = "`slowlane demo` reads it there")]
fn print_tools(sh: &Shell) -> anyhow::Result<()> {
    let python = python::local_aws(sh)?;
    let tools = tools(&binaries::demos(sh)?, &python);
    println!("{}", serde_json::json!(tools.into_iter().collect::<BTreeMap<_, _>>()));
    Ok(())
}

fn test(sh: &Shell, args: &[String]) -> anyhow::Result<()> {
    let programs = prepare_tests(sh)?;
    // With a filter, neither the many random scenarios nor the documentation tests are asked for.
    if args.is_empty() {
        random_scenarios(sh, &programs)?;
    }
    tests(sh, args)?;
    if args.is_empty() {
        documentation_tests(sh)?;
    }
    Ok(())
}

/// Every check and every test, whichever of them fail: one run shows all there is to mend.
fn ci(sh: &Shell) -> anyhow::Result<()> {
    let mut results = lint::all(sh);
    match prepare_tests(sh) {
        Ok(programs) => results.extend([
            ("random scenarios", random_scenarios(sh, &programs)),
            ("tests", tests(sh, &["--no-fail-fast".to_owned()])),
            ("documentation tests", documentation_tests(sh)),
        ]),
        Err(error) => results.push(("the build of the tests", Err(error))),
    }
    verdict(&results)
}

fn verdict(results: &[(&str, anyhow::Result<()>)]) -> anyhow::Result<()> {
    let mut failed = Vec::new();
    for (what, result) in results {
        if let Err(error) = result {
            eprintln!("failed: {what}: {error:#}");
            failed.push(*what);
        }
    }
    ensure!(
        failed.is_empty(),
        "{} of {} failed: {}",
        failed.len(),
        results.len(),
        failed.join(", ")
    );
    Ok(())
}

/// Makes all that the tests need, and says it to them. Answers the directory of the programs.
fn prepare_tests(sh: &Shell) -> anyhow::Result<PathBuf> {
    // Python first: what is missing there shows before minutes of building.
    let python = python::local_aws(sh)?;
    sh.set_var("SLOWLANE_NETSUITE_PYTHON", python::netsuite_client(sh)?);
    judge(sh, "SLOWLANE_FOREIGN_PYTHON", python::foreign_clients(sh))?;
    judge(sh, "SLOWLANE_FOREIGN_NODE", npm::foreign(sh))?;
    judge(sh, "SLOWLANE_MOTO_PYTHON", python::moto(sh))?;
    let programs = binaries::with_tests(sh)?;
    for (name, value) in tools(&programs, &python) {
        sh.set_var(name, value);
    }
    Ok(programs)
}

/// Says to the tests where a judge of theirs is that others wrote. One that cannot be had fails in CI;
/// elsewhere its tests are skipped, and say why.
fn judge(sh: &Shell, variable: &str, found: anyhow::Result<PathBuf>) -> anyhow::Result<()> {
    match found {
        Ok(path) => sh.set_var(variable, path),
        Err(error) if in_ci() => return Err(error),
        Err(error) => {
            eprintln!("skipped: the tests that need {variable}: {error:#}");
            sh.set_var(format!("{variable}_LACKING"), format!("{error:#}"));
        }
    }
    Ok(())
}

fn random_scenarios(sh: &Shell, programs: &Path) -> anyhow::Result<()> {
    let simulator = programs.join("slowlane-simulator");
    Ok(cmd!(sh, "{simulator} simulate --chaos --seeds 2000").run()?)
}

fn tests(sh: &Shell, args: &[String]) -> anyhow::Result<()> {
    if cmd!(sh, "cargo nextest --version").quiet().ignore_stderr().read().is_ok() {
        return Ok(cmd!(sh, "cargo nextest run --workspace --cargo-profile local {args...}").run()?);
    }
    // The documentation tests have a command of their own.
    let targets = ["--lib", "--bins", "--tests", "--examples"];
    Ok(cmd!(sh, "cargo test --workspace --profile local {targets...} {args...}").run()?)
}

fn documentation_tests(sh: &Shell) -> anyhow::Result<()> {
    Ok(cmd!(sh, "cargo test --workspace --profile local --doc --quiet --no-fail-fast").run()?)
}

fn simulator(sh: &Shell, subcommand: &str, passed: &Passed) -> anyhow::Result<()> {
    let simulator = match simulator_to_build(passed) {
        Simulator::Local => binaries::program(sh, "slowlane-simulator")?,
        Simulator::Fast => binaries::simulator(sh)?,
    };
    become_program(Command::new(simulator).arg(subcommand).args(&passed.args))
}

/// The two builds of the simulator's program.
#[derive(Debug, PartialEq, Eq)]
enum Simulator {
    /// The one that the tests build anyway.
    Local,
    /// Optimized for speed, which takes minutes.
    Fast,
}

fn simulator_to_build(passed: &Passed) -> Simulator {
    if passed.ask_for_help() { Simulator::Local } else { Simulator::Fast }
}

fn deploy(sh: &Shell, passed: &Passed) -> anyhow::Result<()> {
    let args = deploy_args(passed, || built_for(sh, "deploy", passed, &binaries::LAMBDAS))?;
    slowlane(sh, &["deploy"], &[args, passed.args.clone()].concat())
}

fn add(sh: &Shell, passed: &Passed) -> anyhow::Result<()> {
    let args = deploy_args(passed, || built_for(sh, "add", passed, &["slowlane-cascade"]))?;
    slowlane(sh, &["add"], &[args, passed.args.clone()].concat())
}

/// Builds the Lambdas for a command of `slowlane`. A mistyped option is refused before these minutes,
/// not after them: where help is asked for behind the arguments, they are read and nothing is done.
fn built_for(
    sh: &Shell,
    command: &str,
    passed: &Passed,
    packages: &[&str],
) -> anyhow::Result<PathBuf> {
    let mut reading = Command::new(binaries::program(sh, "slowlane")?);
    reading.arg(command).args(&passed.args).arg("--help");
    if !reading.stdout(Stdio::null()).stderr(Stdio::null()).status()?.success() {
        // It says what is wrong, and ends.
        slowlane(sh, &[command], &passed.args)?;
    }
    binaries::release(sh, packages)
}

fn startup(sh: &Shell, passed: &Passed) -> anyhow::Result<()> {
    let mut program = Command::new(binaries::program(sh, "slowlane-local")?);
    program.arg("startup").args(&passed.args);
    if !passed.ask_for_help() && !passed.give("--lambdas") {
        program.arg("--lambdas").arg(binaries::release(sh, &binaries::LAMBDAS)?);
    }
    become_program(&mut program)
}

/// What is added to the arguments of `deploy`: this repository and its Lambdas, which `build`
/// makes, unless others are given or only help is wanted.
fn deploy_args(
    passed: &Passed,
    build: impl FnOnce() -> anyhow::Result<PathBuf>,
) -> anyhow::Result<Vec<String>> {
    let mut args = Vec::new();
    if passed.ask_for_help() {
        return Ok(args);
    }
    if !passed.give("--repository") {
        args.extend(["--repository".to_owned(), text(repository())?]);
    }
    if !passed.give("--lambdas") {
        args.extend(["--lambdas".to_owned(), text(&build()?)?]);
    }
    Ok(args)
}

fn text(path: &Path) -> anyhow::Result<String> {
    let text = path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))?;
    Ok(text.to_owned())
}

fn slowlane(sh: &Shell, command: &[&str], args: &[String]) -> anyhow::Result<()> {
    let mut slowlane = Command::new(binaries::program(sh, "slowlane")?);
    slowlane.args(command).args(args);
    if let Some(typed) = std::env::args().nth(1).filter(|_| !command.is_empty()) {
        // For its usage lines.
        let meant = command.join(" ");
        slowlane.env("SLOWLANE_TYPED", format!("cargo xtask {typed}=slowlane {meant}"));
    }
    become_program(&mut slowlane)
}

/// The environment in which the demo and the tests find what was made for them.
fn tools(binaries: &Path, python: &Path) -> [(&'static str, PathBuf); 3] {
    [
        ("SLOWLANE_LAMBDAS", binaries.into()),
        ("SLOWLANE_SANDBOX", binaries.join("slowlane-netsuite-sandbox")),
        ("SLOWLANE_PYTHON", python.into()),
    ]
}

/// Runs a program in place of this one, so that Ctrl-C and a kill reach it and nothing else waits
/// beside it. Returns only if it cannot be started.
fn become_program(command: &mut Command) -> anyhow::Result<()> {
    let error = command.exec();
    Err(error).with_context(|| format!("cannot start {}", command.get_program().display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::bail;
    use clap::CommandFactory as _;

    fn passed(args: &[&str]) -> Passed {
        Passed { args: args.iter().map(|arg| (*arg).to_owned()).collect() }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Xtask::command().debug_assert();
    }

    #[test]
    fn a_check_that_fails_is_named_and_hides_no_other() {
        let failed = |what: &'static str| Err(anyhow::anyhow!("{what} is not well"));
        let results = [("one", failed("it")), ("two", Ok(())), ("three", failed("this"))];
        let told = verdict(&results).unwrap_err().to_string();
        assert_eq!(told, "2 of 3 failed: one, three");
        assert!(verdict(&[("two", Ok(()))]).is_ok());
    }

    #[test]
    fn lambdas_that_are_given_are_not_built() {
        for given in [&["--lambdas", "mine"][..], &["-p", "A=b", "--lambdas=mine"]] {
            let args =
                deploy_args(&passed(given), || bail!("it would be built for {given:?}")).unwrap();
            let ours = ["--repository", repository().to_str().unwrap()];
            assert_eq!(args, ours, "{given:?}");
        }
    }

    #[test]
    fn a_repository_that_is_given_is_given_once() {
        for given in [&["--repository", "other"][..], &["--repository=other"]] {
            let args = deploy_args(&passed(given), || Ok("built".into())).unwrap();
            assert_eq!(args, ["--lambdas", "built"], "{given:?}");
        }
        // Neither is another option that begins alike.
        let args = deploy_args(&passed(&["--repository-of", "x"]), || Ok("built".into())).unwrap();
        assert_eq!(args.len(), 4, "{args:?}");
    }

    #[test]
    fn help_needs_no_optimized_build() {
        for help in [&["--help"][..], &["-h"], &["--chaos", "--help"]] {
            assert_eq!(simulator_to_build(&passed(help)), Simulator::Local, "{help:?}");
            let nothing =
                deploy_args(&passed(help), || bail!("it would be built for {help:?}")).unwrap();
            assert!(nothing.is_empty(), "{nothing:?}");
        }
        assert_eq!(simulator_to_build(&passed(&["--chaos"])), Simulator::Fast);
    }
}
