//! `cargo xtask stack`: what a person does with a stack.

use std::io::Write;

use crate::arguments::Arguments;
use crate::stack::{self, Addresses, Provider, Request, Stack};
use crate::steps::Steps;
use crate::supervisor::Control;
use crate::trouble::{Result, Trouble};

pub(crate) const USAGE: &str =
    "  stack up [--name N] [--postgres 18[,15,17]] [--connect [--exactly-once]] [--secure]
                                        start servers and leave them running; prints their addresses
  stack env [--name N] [--json]         print the addresses again
  stack status [--name N]               pids, versions, state of each server
  stack kill|start|pause|resume SERVICE [--name N]
                                        SIGKILL one server, start it again, stop and continue it
  stack down [--name N]                 end the servers and remove their data
  stack download [..as up]              only fetch what `up` would fetch";

pub(crate) fn run(mut arguments: Arguments) -> Result<()> {
    let verb = arguments
        .word()
        .ok_or("stack up, env, status, kill, start, pause, resume, down or download?")?;
    let name = arguments.value("--name")?.unwrap_or_else(|| Request::default().name);
    match verb.as_str() {
        "up" | "download" => {
            let request = request(name, &mut arguments)?;
            arguments.end()?;
            if verb == "up" { up(&request) } else { download(&request) }
        }
        "env" => {
            let as_json = arguments.flag("--json");
            arguments.end()?;
            print(&stack::addresses(&name)?, as_json);
            Ok(())
        }
        "status" => {
            arguments.end()?;
            status(&name)
        }
        "down" => {
            arguments.end()?;
            match stack::down(&name)? {
                true => println!("stack '{name}' is down"),
                false => println!("no stack '{name}' was up"),
            }
            Ok(())
        }
        "kill" | "start" | "pause" | "resume" => {
            let service = arguments.word().ok_or_else(|| {
                Trouble(format!("stack {verb} SERVICE: `stack status` lists them"))
            })?;
            arguments.end()?;
            let control = Control::of(&name)?;
            match verb.as_str() {
                "start" => control.restart(&service),
                "kill" => control.signal(&service, "KILL"),
                "pause" => control.signal(&service, "STOP"),
                _ => control.signal(&service, "CONT"),
            }
        }
        other => Err(Trouble(format!(
            "stack {other}: it is up, env, status, kill, start, pause, resume, down or download"
        ))),
    }
}

/// The options that say what is to be brought up.
pub(crate) fn request(name: String, arguments: &mut Arguments) -> Result<Request> {
    let mut request = Request { name, ..Request::default() };
    if let Some(versions) = arguments.value("--postgres")? {
        request.postgres = versions
            .split(',')
            .map(|version| {
                version.trim().parse().map_err(|_| {
                    Trouble(format!("--postgres {versions}: major versions, as 18 or 18,15"))
                })
            })
            .collect::<Result<_>>()?;
    }
    request.connect = arguments.flag("--connect");
    request.exactly_once = arguments.flag("--exactly-once");
    request.secure = arguments.flag("--secure");
    Ok(request)
}

fn up(request: &Request) -> Result<()> {
    let steps = Steps::begin();
    if let Ok(addresses) = stack::addresses(&request.name) {
        match Provider::choose()? {
            Provider::Environment => {
                steps.note("the addresses are in the environment: nothing is started")
            }
            _ => steps.note(&format!("stack '{}' is up already", request.name)),
        }
        print(&addresses, false);
        return Ok(());
    }
    let addresses = Stack::up(request, steps)?.keep()?;
    steps.note(&format!(
        "stack '{}' is up; `cargo xtask stack down --name {}` ends it",
        request.name, request.name
    ));
    print(&addresses, false);
    Ok(())
}

fn download(request: &Request) -> Result<()> {
    let steps = Steps::begin();
    match Provider::choose()? {
        Provider::Processes => {
            stack::preconditions::ensure(&stack::preconditions::of_stack(request), steps)?;
            stack::processes::download(request, steps)
        }
        Provider::Environment | Provider::Compose => Ok(()),
    }
}

fn print(addresses: &Addresses, as_json: bool) {
    if as_json {
        say(&format!("{:#}\n", serde_json::json!(addresses)));
    } else {
        say(&lines(addresses));
    }
}

fn lines(addresses: &Addresses) -> String {
    addresses.iter().map(|(name, value)| format!("{name}={value}\n")).collect()
}

/// Prints; a reader that has seen enough (`| head`) is no error.
fn say(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn status(name: &str) -> Result<()> {
    let control = Control::of(name)?;
    let Ok(services) = control.status() else {
        let others: Vec<String> =
            stack::names()?.into_iter().filter(|other| other != name).collect();
        let others = if others.is_empty() {
            "there is no other".to_owned()
        } else {
            format!("there are: {}", others.join(", "))
        };
        return Err(Trouble(format!("no stack '{name}' is up ({others})")));
    };
    let mut text = String::new();
    for (service, (pid, ended)) in services {
        let state = ended.map_or("running".to_owned(), |how| format!("ended: {how}"));
        text += &format!("{service:<14} pid {pid:<8} {state}\n");
    }
    // While it is being brought up there are servers, but no addresses yet.
    text += &stack::addresses(name).map(|addresses| lines(&addresses)).unwrap_or_default();
    say(&text);
    Ok(())
}
